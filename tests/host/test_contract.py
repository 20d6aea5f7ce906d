"""What saved workflows and API users rely on: a node's inputs are its parameters."""

import inspect

import pytest

NODES = [
    "InvSRColorCorrect",
    "InvSRDecode",
    "InvSRDemoModels",
    "InvSREncode",
    "InvSRPartialSampler",
    "InvSRPredictorLoader",
    "InvSRSavePredictor",
    "InvSRScheduler",
    "InvSRStartNoise",
    "InvSRTiledModel",
    "InvSRTrainPredictor",
    "InvSRUpscale",
    "InvSRUpscaleVideo",
]
"""Ids are for ever: this list only grows."""


def test_the_pack_has_these_nodes(host):
    assert sorted(name for name in host.nodes if name.startswith("InvSR")) == NODES


@pytest.mark.parametrize("name", NODES)
def test_the_inputs_of_the_schema_are_the_parameters_of_execute(host, name):
    node = host.nodes[name]
    inputs = {each.id: each for each in node.define_schema().inputs}
    parameters = inspect.signature(node.execute).parameters
    assert set(inputs) == set(parameters)
    for id_, each in inputs.items():
        if each.optional:
            assert parameters[id_].default is not inspect.Parameter.empty, id_
