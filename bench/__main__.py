"""`python -m bench`. Imports nothing heavy: processes that step environments import this file again."""

if __name__ == "__main__":
    from bench.cli import main

    main()
