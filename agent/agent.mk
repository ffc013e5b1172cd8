# SPDX-License-Identifier: Apache-2.0
libhostler_a_SOURCES += \
  agent/agent.h \
  agent/backend.c agent/backend.h \
  agent/call.c agent/call.h \
  agent/config.c agent/config.h \
  agent/error-json.c agent/error-json.h \
  agent/gauge.c agent/gauge.h \
  agent/history.c agent/history.h \
  agent/host-verbs.c \
  agent/intern.c agent/intern.h \
  agent/loop.c agent/loop.h \
  agent/resource.c agent/resource.h \
  agent/snapshot.c agent/snapshot.h \
  agent/step.c \
  agent/task.c agent/task.h agent/task-internal.h \
  agent/task-lookup.c \
  agent/task-status.c \
  agent/task-verbs.c \
  agent/timer-heap.c agent/timer-heap.h \
  agent/varint.c agent/varint.h \
  agent/verb.c agent/verb.h \
  agent/worker.c agent/worker.h

sbin_PROGRAMS += hostlerd
hostlerd_SOURCES = agent/hostlerd.c
hostlerd_LDADD = libhostler.a $(AGENT_LIBS)
UNIT_TESTS += tests/unit/test-backend tests/unit/test-call tests/unit/test-config tests/unit/test-history tests/unit/test-loop \
  tests/unit/test-resource \
  tests/unit/test-step tests/unit/test-task tests/unit/test-varint tests/unit/test-verb-tables \
  tests/unit/test-worker
EXTRA_DIST += tests/unit/agent-fixture.h
