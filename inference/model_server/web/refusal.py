"""
Write a problem as an HTTP answer.

Must not import torch or transformers.
"""

from starlette.responses import JSONResponse

from model_server.api.errors import Problem


def refusal_response(problem: Problem) -> JSONResponse:
    """Return the answer: status, body and headers as the problem has them."""
    return JSONResponse(
        problem.document(), status_code=problem.status, headers=dict(problem.headers)
    )
