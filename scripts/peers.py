"""Other programs to compare with: each benchmark's in a virtual environment of its own under /tmp, never in the project."""
import os, subprocess, sys, tempfile


def environment(name, *packages):
    """The Python that has the packages, installed at the first call."""
    home = os.path.join(tempfile.gettempdir(), "affinity-" + name)
    python = os.path.join(home, "bin", "python")
    if not os.path.exists(python):
        subprocess.check_call([sys.executable, "-m", "venv", home])
    # Nothing to do where they are there; mends an environment whose first installation was cut off.
    subprocess.check_call([python, "-m", "pip", "install", "-q", *packages])
    return python
