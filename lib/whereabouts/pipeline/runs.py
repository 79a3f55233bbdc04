"""A run: one scale on one choice of data, by whose name notebooks find what the pipeline made, and its numbers."""

from collections.abc import MutableMapping
from dataclasses import dataclass, field

from whereabouts import paths
from whereabouts.errors import InputError, raise_all
from whereabouts.pipeline import precision
from whereabouts.pipeline.choices import SCALES, SOURCES
from whereabouts.pipeline.plain_yaml import load


@dataclass(frozen=True)
class Run:
    """Made by `Run.of`.

    Args:
        scale: "smoke", "demo" or "paper"; empty for a folder of one's own.
        sources: switch -> where that data set comes from, where it is not made here: {"chest": "jsrt"}.
        base: the folder in place of build/<scale>, where results lie elsewhere.
    """

    scale: str
    sources: dict[str, str] = field(default_factory=dict)
    base: str = ""

    @classmethod
    def of(cls, name: str = "") -> "Run":
        """The run called `name`.

        Args:
            name: a scale and, for each data set that is not synthetic, a dash and the word for its source: "demo",
                "smoke-real-jsrt"; or a folder that is laid out as build/demo is, such as "build/mine" (any name with a
                slash); or empty, for what params.yaml says.

        Raises:
            InputError: no such scale or source, or two sources of one data set.
        """
        if "/" in name:
            return cls("", base=name.rstrip("/"))
        if not name:
            chosen = load(paths.at("params.yaml"))
            words = {switch: source["name"] for switch, source in chosen["data"].items()}
            return cls(chosen["scale"]["name"], {switch: word for switch, word in words.items() if word != "synthetic"})
        scale, *words = name.split("-")
        switches = {word: switch for switch, offered in SOURCES.items() for word in offered}
        problems = [] if scale in SCALES else [f"run={name}: no scale {scale}; known: {', '.join(SCALES)}"]
        problems += [f"run={name}: no source {w}; known: {', '.join(switches)}" for w in words if w not in switches]
        sources: dict[str, list[str]] = {}
        for word in filter(switches.get, words):
            sources.setdefault(switches[word], []).append(word)
        several = {switch: some for switch, some in sources.items() if len(some) > 1}
        problems += [f"run={name}: {switch}: {' and '.join(some)}; name one source" for switch, some in several.items()]
        raise_all(problems)
        return cls(scale, {switch: word for switch, (word,) in sources.items()})

    def source(self, data: str) -> str:
        """Where the data set of that switch comes from: "synthetic", or one of `SOURCES`."""
        return self.sources.get(data, "synthetic")

    def folder(self, data: str, name: str) -> str:
        """Where a stage leaves what it makes, from the root of the repository.

        Args:
            data: the switches of all data sets that it depends on, as in dvc.yaml: "acdc", "volumes pancreas", or "".
            name: of the folder or file: "acdc/prepared".
        """
        suffix = "".join(f"-{self.sources[switch]}" for switch in data.split() if switch in self.sources)
        return f"{self.base or f'build/{self.scale}{suffix}'}/{name}"

    def folders(self, data: str, *names: str) -> list[str]:
        """Several of them."""
        return [self.folder(data, name) for name in names]

    def fill(self, parameters: MutableMapping[str, object], *sections: str) -> None:
        """Give each parameter that is None the number that this scale has for it.

        Args:
            parameters: `globals()` of a notebook: its parameters are those names that have a type, `steps: int = None`.
            sections: of params/<scale>.yaml and of the scale in params.yaml; `precision` is in none.

        Raises:
            InputError: the scale has none, or there is no scale.
        """
        missing, numbers = [], {"precision": precision.of(self.scale)}
        if self.scale:
            files = load(paths.at(f"params/{self.scale}.yaml")), load(paths.at("params.yaml"))["scales"][self.scale]
            for section in sections:
                numbers |= files[0].get(section, {}) | files[1].get(section, {})
        for name in parameters.get("__annotations__", {}):
            if parameters[name] is not None:
                continue
            if name in numbers:
                parameters[name] = numbers[name]
            else:
                missing.append(f"{name}: None, and {self.scale or self.base} has no number for it; give one")
        raise_all(missing)


def same_scale(*scales: str) -> str:
    """The scale that all agree on; InputError where they do not: what was read belongs to different runs."""
    if len(found := sorted(set(scales))) > 1:
        raise InputError(f"made at {' and '.join(found)} scale; read what one run made (run = ...)")
    return scales[0]
