"""Other rules for a running service: read anew, judged whole, put to work between two batches."""

from tocsin.reload.changes import Changes, Refused
from tocsin.reload.live import AtWork, LiveRules
from tocsin.reload.reloader import Reloader, RuleStates, load_of
from tocsin.reload.watch import Signature, Watch, signature_of

__all__ = [
    "AtWork",
    "Changes",
    "LiveRules",
    "Refused",
    "Reloader",
    "RuleStates",
    "Signature",
    "Watch",
    "load_of",
    "signature_of",
]
