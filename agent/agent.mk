# SPDX-License-Identifier: Apache-2.0
libhostler_a_SOURCES += \
  agent/agent.h \
  agent/backend.c agent/backend.h \
  agent/call.c agent/call.h \
  agent/config.c agent/config.h \
  agent/error-json.c agent/error-json.h \
  agent/facts.c agent/facts.h \
  agent/gauge.c agent/gauge.h \
  agent/history.c agent/history.h \
  agent/host-counters.c agent/host-counters.h \
  agent/host-cpu.c \
  agent/host-devices.c \
  agent/host-figures.c agent/host-figures.h \
  agent/host-kvm.c \
  agent/host-machine.c \
  agent/host-memory.c \
  agent/host-packages.c \
  agent/host-parts.h \
  agent/host-read.c agent/host-read.h \
  agent/host-sample.c agent/host-sample.h \
  agent/host-verbs.c \
  agent/intern.c agent/intern.h \
  agent/loop.c agent/loop.h \
  agent/resource.c agent/resource.h \
  agent/sampling.c agent/sampling.h \
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
  tests/unit/test-host-counters tests/unit/test-host-parts tests/unit/test-host-read tests/unit/test-host-sample \
  tests/unit/test-resource tests/unit/test-sampling \
  tests/unit/test-step tests/unit/test-task tests/unit/test-varint tests/unit/test-verb-tables \
  tests/unit/test-worker
EXTRA_DIST += tests/unit/agent-fixture.h tests/unit/host-fixture.h
