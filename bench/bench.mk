# SPDX-License-Identifier: Apache-2.0
# Not built by 'make all' for users; ./check and 'make bench' do.
EXTRA_PROGRAMS = bench/rpc-load
bench_rpc_load_SOURCES = bench/rpc-load.c
bench_rpc_load_LDADD =
CLEANFILES += bench/rpc-load
EXTRA_DIST += bench/run bench/node-server.mjs

.PHONY: bench bench-short
bench: all bench/rpc-load$(EXEEXT)
	HOSTLER_BUILD=$(abs_top_builddir) $(srcdir)/bench/run
bench-short: all bench/rpc-load$(EXEEXT)
	HOSTLER_BUILD=$(abs_top_builddir) $(srcdir)/bench/run --short
