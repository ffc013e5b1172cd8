# SPDX-License-Identifier: Apache-2.0
# Not built by 'make all' for users; ./check and 'make bench' do.
EXTRA_PROGRAMS = bench/rpc-load bench/copy-engine
bench_rpc_load_SOURCES = bench/rpc-load.c
bench_rpc_load_LDADD =
bench_copy_engine_SOURCES = bench/copy-engine.c
CLEANFILES += bench/rpc-load bench/copy-engine
EXTRA_DIST += bench/run bench/backup bench/copy bench/gluster bench/node-server.mjs bench/vm

.PHONY: bench bench-short bench-backup bench-copy bench-copy-short bench-gluster bench-gluster-short bench-vm bench-vm-short
bench: all bench/rpc-load$(EXEEXT)
	HOSTLER_BUILD=$(abs_top_builddir) $(srcdir)/bench/run
bench-short: all bench/rpc-load$(EXEEXT)
	HOSTLER_BUILD=$(abs_top_builddir) $(srcdir)/bench/run --short
bench-copy: all bench/copy-engine$(EXEEXT)
	HOSTLER_BUILD=$(abs_top_builddir) $(srcdir)/bench/copy
bench-copy-short: all bench/copy-engine$(EXEEXT)
	HOSTLER_BUILD=$(abs_top_builddir) $(srcdir)/bench/copy --short
bench-gluster: all
	HOSTLER_BUILD=$(abs_top_builddir) $(srcdir)/bench/gluster
bench-gluster-short: all
	HOSTLER_BUILD=$(abs_top_builddir) $(srcdir)/bench/gluster --short
bench-vm: all
	HOSTLER_BUILD=$(abs_top_builddir) $(srcdir)/bench/vm
bench-vm-short: all
	HOSTLER_BUILD=$(abs_top_builddir) $(srcdir)/bench/vm --short
bench-backup: all
	HOSTLER_BUILD=$(abs_top_builddir) $(srcdir)/bench/backup
