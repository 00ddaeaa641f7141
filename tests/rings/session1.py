"""The shell session once more, on one CPU."""

from rings import session


def tests(long):
    """The tests of this ring."""
    return session.tests(long, smp=1)
