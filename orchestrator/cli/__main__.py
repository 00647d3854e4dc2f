"""`python -m orchestrator.cli`: the same program without the script in `bin`."""

from orchestrator.cli.main import run

if __name__ == "__main__":
    run()
