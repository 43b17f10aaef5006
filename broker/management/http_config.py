"""How uvicorn serves: nothing of its own is in the log or in answers, and no header says who the client is."""

from typing import Any

import uvicorn
from starlette.types import ASGIApp


def http_config(app: ASGIApp, **more: Any) -> uvicorn.Config:
    """Return the configuration, loaded, for protocols made without uvicorn's server; ``more`` are settings of it."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        **more,
    )
    config.load()
    return config
