# SPDX-License-Identifier: Apache-2.0
libhostler_a_SOURCES += \
  rpc/admission.c \
  rpc/answer.c rpc/answer.h \
  rpc/args.c rpc/args.h \
  rpc/auth.c rpc/auth.h \
  rpc/connection.h \
  rpc/discover.c \
  rpc/dispatch.c rpc/dispatch.h \
  rpc/envelope.c rpc/envelope.h \
  rpc/exchange-request.c \
  rpc/exchange.c rpc/exchange.h \
  rpc/http.c \
  rpc/listener.c rpc/listener.h \
  rpc/metrics.c rpc/metrics.h \
  rpc/origin.c rpc/origin.h \
  rpc/range.c rpc/range.h \
  rpc/rate.c rpc/rate.h \
  rpc/request.c \
  rpc/rpc-verbs.c \
  rpc/rpc.h \
  rpc/scan.c rpc/scan.h \
  rpc/server.c rpc/server.h \
  rpc/session.c \
  rpc/tls.c rpc/tls.h \
  rpc/transport.h \
  rpc/websocket.c
libhostler_a_SOURCES += \
  rpc/audience.c rpc/audience.h \
  rpc/event-verbs.c \
  rpc/snapshot-stream.c rpc/snapshot-stream.h \
  rpc/subscription.c rpc/subscription.h
UNIT_TESTS += tests/unit/test-range tests/unit/test-subscription
UNIT_TESTS += tests/unit/test-auth tests/unit/test-origin tests/unit/test-session \
  tests/unit/test-admission tests/unit/test-audience tests/unit/test-exchange tests/unit/test-http tests/unit/test-metrics \
  tests/unit/test-tls tests/unit/test-websocket
libhostler_a_SOURCES += rpc/filling.c rpc/filling.h rpc/value.c rpc/value.h
UNIT_TESTS += tests/unit/test-answer tests/unit/test-args tests/unit/test-discover \
  tests/unit/test-dispatch tests/unit/test-envelope tests/unit/test-fuzz-corpus \
  tests/unit/test-rate tests/unit/test-request tests/unit/test-scan tests/unit/test-value
EXTRA_DIST += tests/unit/fake-agent.h tests/unit/fake-lws.h
if FUZZING
noinst_PROGRAMS += tests/fuzz/fuzz-request
tests_fuzz_fuzz_request_SOURCES = tests/fuzz/fuzz-request.c
tests_fuzz_fuzz_request_LDFLAGS = $(AM_LDFLAGS) $(FUZZER_LDFLAGS)
endif
