# SPDX-License-Identifier: Apache-2.0
"""A call of the driver while it runs. Any transport runs it in the same way:

while not operation.done:
    if (words := operation.next_packet()) is not None:
        send(words)
    else:
        operation.receive(wait_for_packet())
result = operation.result
"""

__all__ = ["DriverError", "Operation"]


class DriverError(RuntimeError):
    """The chip reported a fault, sent what nobody asked for, or the driver was used out of order.

    Where an operation failed because of the chip, samples may be stuck in it: reset it and ``load`` again.
    """


class Operation:
    """One call. Packets are lists of 32-bit words, header first.

    Members
    -------
    done: whether it has ended, with success or without
    result: what the call returns; raises ``DriverError`` where it failed or has not ended
    """

    def __init__(self, driver, name, script):
        self._driver, self.name = driver, name
        self._exchanges = []
        self._script = script(self._run)
        self._packet = self._result = self._error = None
        self.done = False
        if driver.problem:
            self.fail(driver.problem)
        else:
            self.advance()

    def _run(self, exchange):
        """Play one exchange of the script. Those before it still accept what comes late."""
        self._exchanges.append(exchange)
        return (yield from exchange.packets())

    def advance(self):
        """Let the script go on to its next packet, or to its end."""
        if self.done or self._packet is not None:
            return
        try:
            self._packet = next(self._script)
        except StopIteration as end:
            self._result, self.done = end.value, True
        except Exception as error:
            self.fail(error)
            raise

    def fail(self, problem):
        """End the operation with a ``DriverError``."""
        self._error = DriverError(f"{self.name}: {problem}")
        self._packet, self.done, self._driver.problem = None, True, None
        self._script.close()

    def next_packet(self):
        """Words of the next packet to send, or ``None`` where nothing may be sent before something is received."""
        self.advance()
        if self._packet is None:
            return None
        words, self._packet = self._packet.words(), None
        self.advance()
        return words

    def receive(self, words):
        """Take the words of one received packet."""
        self._driver.receive(words)

    def accept(self, packet):
        """Whether the operation expected this packet."""
        return any(exchange.accept(packet) for exchange in reversed(self._exchanges))

    def waiting_for(self):
        """What has not come yet, in words, for the message of a transport that gives up."""
        return "; ".join(filter(None, (exchange.missing() for exchange in self._exchanges))) or "nothing"

    def cancel(self):
        """End the operation without a result. The chip may still be at work on it."""
        if not self.done:
            self.fail("cancelled")

    @property
    def result(self):
        if not self.done:
            raise DriverError(f"{self.name}: not done, waits for {self.waiting_for()}")
        if self._error:
            raise self._error
        return self._result
