"""As ``engine_job``, with the tables of the result: every order with its arithmetic in words, and every fill."""

from functools import partial

from tests.bench.support.engine_job import call_of
from tests.bench.support.points import run

if __name__ == "__main__":
    run(partial(call_of, tables=True))
