# SPDX-License-Identifier: Apache-2.0
"""Train the golden model, which computes the very bits of the chip, on handwritten digits."""

from backspike.golden.initial import balanced_weights
from backspike.golden.network import Network
from backspike.golden.presets import default_schedule
from backspike.golden.trainer import Trainer
from backspike.host.data.load import load

network = Network.parse("64-128-10", steps=4, reset="soft")
data = load("digits", network.steps)
schedule = default_schedule(network, epochs=10)
weights = balanced_weights(network, seed=1, spikes=data.train[:64].spikes)
trainer = Trainer(network, schedule[0], weights=weights)

for epoch, training in enumerate(schedule):
    trainer.training = training
    trainer.train(data.train.spikes, data.train.labels, seed=epoch)
    accuracy = trainer.evaluate(data.test.spikes, data.test.labels)
    print(f"epoch {epoch + 1:2}: {accuracy:.1%} of the test digits are right")
