"""The shipped workflows as somebody without any model opens them in a browser."""

import pytest
from frontend import settled
from stand_ins import nodes_of


@pytest.fixture
def opened(page, name, no_complaints):
    page.load_template(name)
    return page


def test_it_opens_with_every_node_known_and_asks_for_exactly_its_models(opened, workflow):
    assert opened.unknown_nodes() == []
    assert opened.state("missingNodesError")["missingNodesError"] is None
    assert opened.state("missingMedia")["missingMediaCandidates"] is None
    offered = {
        (model["name"], model["directory"], model["url"])
        for node in nodes_of(workflow)
        for model in node["properties"].get("models", [])
    }
    opened.page.wait_for_timeout(200)
    missing = opened.state("missingModel")["missingModelCandidates"] or []
    assert {(each["name"], each["directory"], each["url"]) for each in missing} == offered


def test_the_page_queues_what_the_converter_gives(opened, server, workflow):
    assert settled(opened.prompt()) == settled(server.to_prompt(workflow))


def test_the_page_reads_every_widget_as_it_is_stored(opened, workflow):
    page = "() => app.graph.serialize().nodes.map(node => [node.id, node.widgets_values ?? []])"
    read = dict(opened.page.evaluate(page))
    stored = {node["id"]: node.get("widgets_values") or [] for node in workflow["nodes"]}
    assert read == stored
