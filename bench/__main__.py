"""`python -m bench`. Imports nothing heavy: processes that step environments import this file again."""


def main() -> None:
    """Run the command line."""
    import signal

    early = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    signal.pthread_sigmask(signal.SIG_BLOCK, early)  # until the command has handlers for them
    from bench.cli import main

    main(early)


if __name__ == "__main__":
    main()
