"""The HTTP side: the receiver, health, metrics."""

from tocsin.api.app import make_app
from tocsin.api.doors import refuse_open_receiver, tokens_of
from tocsin.api.server import HttpServer, Limits

__all__ = ["HttpServer", "Limits", "make_app", "refuse_open_receiver", "tokens_of"]
