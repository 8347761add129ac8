"""The folder pyinfra/ must never be a package: from the repository's root it would hide the library of that name."""

from importlib.util import find_spec

from studio.paths import PYINFRA


def test_the_folder_is_no_package() -> None:
    assert (PYINFRA / "deploy.py").is_file()
    assert not (PYINFRA / "__init__.py").exists()


def test_the_library_is_what_python_finds() -> None:
    found = find_spec("pyinfra")
    assert found is not None
    assert found.origin is not None
    assert "site-packages" in found.origin
