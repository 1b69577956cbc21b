"""What the README says is what is done: its commands, its system packages, its pictures."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_readme_test_command_and_installs_its_packages():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install tox && tox" in README
    assert "pip install tox && tox" in ci
    assert len(re.findall(r"^sudo apt-get install -y .*xvfb", README, re.MULTILINE)) == 1
    assert "README.md" in ci


def test_the_demo_command_is_the_first_command():
    assert re.search(r"```sh\n(.*)\n", README).group(1) == 'pip install ".[all]" && napari-anneal demo'


@pytest.mark.parametrize("picture", re.findall(r"!\[.*?\]\((.*?)\)", README))
def test_every_picture_is_there(picture):
    assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")
