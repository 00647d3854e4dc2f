"""The HTTP API: parse in, call one verb of the engine, print out.

app.py           create_app: the routers, the edge, the life of the dependencies
server.py        bind, serve: one uvicorn process

request_ids.py   the outermost layer: an id and a log line for each request, security headers, the last catch
auth.py          Bearer -> who asks, and whether they may
limits.py        how much of a body is read, and of which type
bodies.py        JSON bodies: strict, field by field, inputs kept as the bytes that came
queries.py       query parameters, strict too
cursors.py       pages of a list
idempotency.py   one effect per Idempotency-Key
problems.py      errors -> application/problem+json
answers.py       what handlers return
openapi.py  schemas.py      the description at /api/v1/openapi.json

downloads.py     a stored file as an answer
doors/           the providers' own APIs, spoken by us

runs.py  batches.py  connections.py  workflows.py  doubts.py  inbox.py  tokens.py  system.py     the routes
"""
