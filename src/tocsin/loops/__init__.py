"""The three loops, joined only by durable state: detect, notify, deliver.

Each runs in a thread of its own until told to stop, does one small step at a time, and survives
whatever a step throws: it is logged, counted, and the step is done again after a pause. A step is
safe to repeat, so a crash anywhere costs nothing but time.
"""

from tocsin.loops.deliver import Deliver
from tocsin.loops.detect import Detect
from tocsin.loops.notify import Notify
from tocsin.loops.reload import Reload
from tocsin.loops.supervise import Health, Signals, supervise

__all__ = ["Deliver", "Detect", "Health", "Notify", "Reload", "Signals", "supervise"]
