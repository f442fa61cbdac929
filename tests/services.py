"""Real services for the tests: an S3 endpoint over HTTP on loopback."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from moto.server import ThreadedMotoServer


@dataclass(frozen=True)
class S3Service:
    """A running S3 service with one bucket."""

    endpoint_url: str
    bucket: str

    @property
    def options(self) -> dict[str, Any]:
        """Options for s3fs to reach it."""
        return {"endpoint_url": self.endpoint_url, "key": "testing", "secret": "testing"}


@contextlib.contextmanager
def s3_service(bucket: str = "miniscope") -> Iterator[S3Service]:
    """Start an S3 service on a free port of the loopback interface and make a bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        service = S3Service(f"http://{host}:{port}", bucket)
        client = boto3.client(
            "s3",
            endpoint_url=service.endpoint_url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=bucket)
        client.close()
        yield service
    finally:
        server.stop()
