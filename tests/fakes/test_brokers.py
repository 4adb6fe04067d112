"""The throw-away brokers come, go, and come back on the same port."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from kombu.connection import Connection

from tests.fakes.rabbitmq import RabbitMQ, rabbitmq_server
from tests.fakes.redis import NoServerError, Redis, redis_server

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize("server", [redis_server, rabbitmq_server])
def test_a_killed_broker_comes_back_on_the_same_port(
    server: Callable[[], AbstractContextManager[Redis | RabbitMQ]],
) -> None:
    """It answers again at the address that clients know; Redis has forgotten everything."""
    try:
        with server() as broker:
            _put(broker.url, 1)
            broker.kill()
            with pytest.raises(Exception, match="refused"):
                _put(broker.url, 0)
            broker.start()
            _put(broker.url, 2)
            # RabbitMQ keeps what it had time to write down.
            assert _get(broker.url) in ({2} if server is redis_server else {1, 2})
    except NoServerError as error:
        pytest.skip(str(error))


def _connection(url: str) -> Connection:
    return Connection(url, connect_timeout=2)


def _put(url: str, number: int) -> None:
    with _connection(url) as connection:
        connection.connect()
        connection.SimpleQueue("test").put(number)


def _get(url: str) -> object:
    with _connection(url) as connection:
        message = connection.SimpleQueue("test").get(timeout=5)
        message.ack()
        return message.payload
