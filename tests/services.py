"""Real services for the tests: an S3 endpoint over HTTP on loopback."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
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

    def client(self) -> Any:
        """Return a client of the service's own kind, to put things there by another's code than ours."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            region_name="us-east-1",
        )


@contextlib.contextmanager
def s3_service(bucket: str = "miniscope") -> Iterator[S3Service]:
    """Start an S3 service on a free port of the loopback interface and make a bucket."""
    # It would tell of every request, into whatever stream a handler of this process has, closed or not.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        service = S3Service(f"http://{host}:{port}", bucket)
        client = service.client()
        client.create_bucket(Bucket=bucket)
        client.close()
        yield service
    finally:
        server.stop()


def upload(service: S3Service, folder: Path, prefix: str) -> str:
    """Copy a folder's files into the bucket below a prefix; returns the address."""
    client = service.client()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            client.upload_file(str(path), service.bucket, f"{prefix}/{path.relative_to(folder).as_posix()}")
    client.close()
    return f"s3://{service.bucket}/{prefix}"
