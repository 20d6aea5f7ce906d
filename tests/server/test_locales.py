"""The pack's texts: complete in every language, made from today's English, and served."""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent.parent / "scripts"))
import locale_files
from locale_files import TRANSLATIONS, texts_of

NUMBER = re.compile(r"\d+(?:\.\d+)?")
SPELLED_OUT_IN_ENGLISH = {"1", "2", "3", "4"}
MESSAGE_SYNTAX = re.compile(r"[@{}|%]")
"""What the frontend's message compiler would read as commands; it does not compile tooltips."""


@pytest.fixture(scope="module")
def info(server):
    return server.get("/object_info")


@pytest.fixture(scope="module")
def english(info):
    return texts_of(locale_files.english(info))


@pytest.fixture(params=TRANSLATIONS)
def language(request):
    return request.param


@pytest.fixture
def translated(language):
    return texts_of(locale_files.read(language))


def test_the_english_file_is_what_the_nodes_say(info):
    remedy = "run python3 scripts/make_locale.py"
    assert locale_files.read("en") == locale_files.english(info), remedy


def test_every_text_says_something(english):
    assert [key for key, text in english.items() if not (text or "").strip()] == []


def test_no_translation_is_missing_superfluous_or_stale(language, english):
    remedy = f"when it is right, run python3 scripts/make_locale.py --reviewed {language}"
    assert locale_files.problems(language, english) == [], remedy


def test_a_changed_english_text_makes_its_translations_stale(language, english):
    key = "InvSRUpscale.inputs.seed.tooltip"
    changed = {**english, key: english[key] + " Or else."}
    (problem,) = locale_files.problems(language, changed)
    assert key in problem


def test_a_new_and_a_removed_text_are_told(language, english):
    renamed = dict(english)
    renamed["InvSRUpscale.inputs.new.name"] = renamed.pop("InvSRUpscale.inputs.seed.name")
    lacking, superfluous = locale_files.problems(language, renamed)
    assert "new.name" in lacking
    assert "seed.name" in superfluous


def test_texts_equal_in_english_are_equal_in_translation(english, translated):
    first = {}
    for key, text in english.items():
        assert translated[key] == first.setdefault(text, translated[key]), key


def test_sentences_are_translated(english, translated):
    assert [key for key in english if is_sentence(key) and translated[key] == english[key]] == []


def test_numbers_are_kept(english, translated):
    for key, text in english.items():
        expected, found = (Counter(NUMBER.findall(one)) for one in (text, translated[key]))
        assert not expected - found, key
        assert set(found - expected) <= SPELLED_OUT_IN_ENGLISH, key


def test_names_of_nodes_in_a_text_are_those_on_screen(english, translated):
    titles = {key: text for key, text in english.items() if key.endswith(".display_name")}
    for key, text in english.items():
        for title in (title for title, name in titles.items() if name in text):
            assert translated[title] in translated[key], (key, title)


def test_names_of_inputs_in_a_text_are_those_on_screen(english, translated):
    for key, text in english.items():
        node = key.partition(".")[0]
        for name in re.findall(r"'(\w+)'|\b([a-z]+_[a-z_]+)\b", text):
            shown = translated.get(f"{node}.inputs.{''.join(name)}.name")
            assert shown is None or shown in translated[key], (key, name)


def test_choices_are_called_what_the_widget_calls_them(info, english, translated):
    for node, declared in info.items():
        for name, spec in declared["input"].get("required", {}).items():
            key = f"{node}.inputs.{name}.tooltip"
            for choice in spec[1].get("options", []) if key in english else []:
                if re.search(rf"\b{re.escape(choice)}\b", english[key]):
                    assert choice in translated[key], (key, choice)


def test_compiled_texts_hold_no_message_syntax(english, translated):
    for texts in (english, translated):
        compiled = {key: text for key, text in texts.items() if not key.endswith(".tooltip")}
        assert [key for key, text in compiled.items() if MESSAGE_SYNTAX.search(text)] == []


@pytest.mark.parametrize("language", ["en", *TRANSLATIONS])
def test_the_server_gives_them_to_the_browser(server, language):
    served = server.get("/i18n")[language]["nodeDefs"]
    assert {name: served[name] for name in served if name.startswith("InvSR")} == (
        locale_files.read(language)
    )


def is_sentence(key):
    return key.endswith((".description", ".tooltip"))
