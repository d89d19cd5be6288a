"""Predictions over HTTP: an application made of a predictor, and a process that serves it.

application.py  the routes, for any ASGI server
options.py      limits of the application, and where it is served
access.py       who may ask
body.py         a request's body, within limits
packages.py     what must be installed
upload.py       what a client sent: an image, an address, options
asked.py        the options of one request
predicting.py   the threads that answer, and who waits for them
answers.py      records and pictures as responses, and what finds them
replicas.py     predictors on a Ray cluster, which find them too
errors.py       what is refused, with status and sentence
metrics.py      counts and times for Prometheus
description.py  the routes described: OpenAPI, and a page of it
server.py       the process: connections within limits of time, and its end
pages/          the page to try it, and the page of the routes
"""
