"""Holds the objects below deploy/ against the OpenAPI schemas of every Kubernetes that they are for.

The schemas are those that Kubernetes publishes, one set a version, as the distribution `kubernetes-validate` carries them: in
the strict form, in which a field that the schema does not have is an error. Run by `make manifests`.
"""

import copy
import importlib.util
import json
import pathlib
import sys

import jsonschema
from ruamel.yaml import YAML

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
BASE = DEPLOY / "kubernetes" / "base"

# docs/deploy.md: the Pod Security labels and the rolling update with a surge need it.
OLDEST = (1, 25)


def schemas():
    """Folders of schemas by version."""
    package = importlib.util.find_spec("kubernetes_validate").submodule_search_locations[0]
    for folder in sorted((pathlib.Path(package) / "kubernetes-json-schema").glob("v*-local-strict")):
        version = tuple(int(part) for part in folder.name.removeprefix("v").split("-")[0].split(".")[:2])
        if version >= OLDEST:
            yield version, folder


def objects():
    """Every object of the base's kustomization and of the reference fleet, with the place where it stands."""
    yaml = YAML(typ="safe", pure=True)
    files = [BASE / name for name in yaml.load(BASE / "kustomization.yaml")["resources"]]
    files += sorted((DEPLOY / "examples" / "reference-fleet").glob("*/*.yaml"))
    for path in files:
        for number, document in enumerate(yaml.load_all(path), 1):
            yield f"{path.relative_to(DEPLOY)}, document {number}", document


class Local(jsonschema.RefResolver):
    """Finds what schemas refer to in their own folder, whatever address they say, and asks no network."""

    def __init__(self, folder):
        super().__init__(base_uri="", referrer={})
        self.folder = folder

    def resolve_remote(self, uri):
        return json.loads((self.folder / uri.rpartition("/")[2]).read_text())


def validator(folder, resolver, thing):
    """What checks a kind; the files are named by kind, the first part of the group, and version."""
    group, _, version = thing["apiVersion"].rpartition("/")
    name = "-".join(part for part in (thing["kind"], group.split(".")[0], version) if part).lower()
    return jsonschema.Draft7Validator(json.loads((folder / f"{name}.json").read_text()), resolver=resolver)


def spoiled(thing):
    """The same object with faults that every schema must find: what cannot fail proves nothing."""
    for spoil in (
        lambda it: it.update(nonsense=True),
        lambda it: it["metadata"].update(name=7),
        lambda it: it["metadata"].update(nonsense=True),
        lambda it: it.get("spec", it).update(nonsense={}),
    ):
        copied = copy.deepcopy(thing)
        spoil(copied)
        yield copied


def main():
    faults, checked, versions = [], 0, []
    all_objects = list(objects())
    for version, folder in schemas():
        versions.append("{}.{}".format(*version))
        resolver = Local(folder)
        for place, thing in all_objects:
            check = validator(folder, resolver, thing)
            for error in check.iter_errors(thing):
                field = ".".join(str(part) for part in error.absolute_path)
                faults.append(f"{place}: Kubernetes {versions[-1]} refuses {field or 'the object'}: {error.message}")
            for copied in spoiled(thing):
                if check.is_valid(copied):
                    faults.append(f"{place}: the schema of Kubernetes {versions[-1]} finds no fault where one was put in")
            checked += 1
    if not versions or not all_objects:
        faults.append("there is nothing to check")
    print("\n".join(faults) or f"{len(all_objects)} objects fit the schemas of Kubernetes {', '.join(versions)}: {checked} checks")
    return 1 if faults else 0


sys.exit(main())
