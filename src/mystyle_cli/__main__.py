"""`python -m mystyle_cli`, which is `mystyle`: what `torchrun -m` starts in each of its processes."""

from mystyle_cli.cli import main

if __name__ == "__main__":
    main()
