"""`python -m bench`. Kept light: processes that only step environments import it again."""

if __name__ == "__main__":
    from bench.cli import main

    main()
