# The table and the promises, from what the measuring program printed.
# usage: awk -v rounds=N -v size=MIB -v seconds=N -v quick=1|''
#            -v columns='NAME ...' -v pressure=1|'' [-v data=FILE]
#            -f report.awk RESULTS NOTES
# data: where to write what charts.gnuplot draws.
# RESULTS: "COLUMN KEY VALUE" lines; NOTES: text to go below the table.

function column(name, title1, title2) {
	if (index(" " columns " ", " " name " ") == 0)
		return
	names[++column_count] = name
	titles[name, 0] = title1 title2
	titles[name, 1] = title1
	titles[name, 2] = title2
}

# A value is shown as value * scale, or as scale / value for a rate.
function row(key, title, unit, scale) {
	keys[++row_count] = key
	texts[key] = title
	units[key] = unit
	scales[key] = scale
}

# `key` of the column `a` over that of the column `b`, or over its `key_b`.
# Without `b`: the value of `a` itself.
function promise(title, key, a, b, relation, limit, key_b) {
	promises[++promise_count] = title
	p_key[promise_count] = key
	p_a[promise_count] = a
	p_b[promise_count] = b
	p_key_b[promise_count] = key_b ? key_b : key
	p_relation[promise_count] = relation
	p_limit[promise_count] = limit
}

# What a column does to names, against both filesystems of libfuse. A rate is
# one over a time, hence the other's time over its own.
function promise_rates(col, title, limit, i, j, n, key, short, other) {
	n = split("create-unlink open-close stat-uncached readdir-uncached",
		key, " ")
	split("create+close+unlink,open+close,uncached stat,readdir", short, ",")
	split("memfs hp", other, " ")
	for (i = 1; i <= n; i++)
		for (j = 1; j <= 2; j++)
			promise(short[i] " rate, " title " / " \
				titles[other[j], 0], key[i], other[j], col,
				">=", limit)
}

BEGIN {
	column("tmpfs", "plain", "tmpfs")
	column("huge", "tmpfs", "huge")
	column("memfd", "", "memfd")
	column("hugetlb", "hugetlb", "fs")
	column("elastic", "bufferfs", "elastic")
	column("fixed", "bufferfs", "fixed")
	column("uring", "bufferfs", "io_uring")
	column("memfs", "", "memfs_ll")
	column("hp", "pass-", "through_hp")
	titles["hp", 0] = "passthrough_hp"

	row("first-touch", "mmap: first touch", "ms", 1e-6)
	row("second-touch", "  2nd process's touch", "ms", 1e-6)
	row("random-read", "  random 8-byte read", "ns", 1)
	row("pread-1m", "pread 1 MiB", "GB/s", -1048576)
	row("pwrite-1m", "pwrite 1 MiB", "GB/s", -1048576)
	row("pread-4k", "pread 4 KiB", "us", 1e-3)
	row("pwrite-4k", "pwrite 4 KiB", "us", 1e-3)
	row("open-close", "open+close", "us", 1e-3)
	row("stat-cached", "stat, cached", "us", 1e-3)
	row("stat-uncached", "stat, uncached", "us", 1e-3)
	row("create-unlink", "create+close+unlink", "us", 1e-3)
	row("readdir-uncached", "readdir 10,000, uncached", "ms", 1e-6)
	row("readdir-cached", "readdir 10,000, cached", "ms", 1e-6)
	row("getxattr", "getxattr", "us", 1e-3)
	row("state-xattr", "set a purgeable state", "us", 1e-3)
	row("state-ioctl", "  by ioctl", "us", 1e-3)
	row("purge-huge", "purge 1 GiB, huge pages", "ms", 1e-6)
	row("purge-small", "  4 KiB pages", "ms", 1e-6)
	row("pressure", "pressure to memory", "ms", 1e-6)
	row("restart-idle", "worker's death to answer", "ms", 1e-6)
	row("restart-load", "  under load", "ms", 1e-6)
	row("exchange-c", "message and back: C to C", "us", 1e-3)
	row("exchange-python", "  C to Python", "us", 1e-3)
	row("exchange-c-sleep", "  asleep, C to C", "us", 1e-3)
	row("exchange-python-sleep", "  asleep, C to Python", "us", 1e-3)
	row("start", "mount start-up", "ms", 1e-6)
	row("memory", "daemon, 100 files", "MiB", 1 / 1048576)
	row("small-file", "pool of a 1-byte file", "KiB", 1 / 1024)

	promise("first touch, elastic / plain tmpfs",
		"first-touch", "elastic", "tmpfs", "<=", 0.3)
	promise("first touch, elastic / memfd",
		"first-touch", "elastic", "memfd", "<=", 0.3)
	promise("first touch, fixed / hugetlbfs",
		"first-touch", "fixed", "hugetlb", "<=", 1.1)
	promise("2nd touch, elastic / hugetlbfs",
		"second-touch", "elastic", "hugetlb", "<=", 1.5)
	promise("2nd touch, elastic / plain tmpfs",
		"second-touch", "elastic", "tmpfs", "<=", 0.2)
	promise("2nd touch, fixed / plain tmpfs",
		"second-touch", "fixed", "tmpfs", "<=", 0.2)
	promise("first touch, fixed / elastic",
		"first-touch", "fixed", "elastic", "<=", 1.1)
	promise("first / 2nd touch of fixed: it was populated",
		"first-touch", "fixed", "fixed", "<=", 2, "second-touch")
	promise("2nd touch, fixed / elastic",
		"second-touch", "fixed", "elastic", "<=", 1.1)
	promise("random read, fixed / elastic",
		"random-read", "fixed", "elastic", "<=", 1.1)
	promise("pread 1 MiB rate, elastic / plain tmpfs",
		"pread-1m", "elastic", "tmpfs", ">=", 1.5)
	promise("pwrite 1 MiB rate, elastic / plain tmpfs",
		"pwrite-1m", "elastic", "tmpfs", ">=", 2)
	promise("pread 4 KiB, elastic / plain tmpfs",
		"pread-4k", "elastic", "tmpfs", "<=", 1.5)
	promise("pwrite 4 KiB, elastic / plain tmpfs",
		"pwrite-4k", "elastic", "tmpfs", "<=", 1.5)
	promise_rates("elastic", "elastic", 1.2)
	if (("uring", 0) in titles)
		promise_rates("uring", "io_uring", 1.8)
	promise("set a purgeable state / getxattr",
		"state-xattr", "elastic", "elastic", "<=", 1.2, "getxattr")
	promise("set a purgeable state by ioctl / getxattr",
		"state-ioctl", "elastic", "elastic", "<=", 1.2, "getxattr")
	promise("ms to purge 1 GiB of huge pages",
		"purge-huge", "elastic", "", "<=", 100)
	promise("ms to purge 1 GiB of 4 KiB pages",
		"purge-small", "elastic", "", "<=", 100)
	if (pressure)
		promise("ms from memory pressure to memory given back",
			"pressure", "elastic", "", "<=", 50)
	promise("ms from the worker's death to an answer, idle",
		"restart-idle", "elastic", "", "<", 10)
	promise("ms from the worker's death to an answer, under load",
		"restart-load", "elastic", "", "<", 30)
	promise("KiB of the pool for a 1-byte file",
		"small-file", "elastic", "", "<=", 4)
	promise("MiB of the daemon with 100 files",
		"memory", "elastic", "", "<=", 10)
}

FILENAME == ARGV[1] && NF == 3 {
	list[$2, $1] = list[$2, $1] " " $3
}

FILENAME != ARGV[1] && !seen[$0]++ {
	notes[++note_count] = $0
}

function median(key, col, values, n, i, j, v) {
	n = split(list[key, col], values, " ")
	for (i = 2; i <= n; i++) {
		v = values[i] + 0
		for (j = i - 1; j > 0 && values[j] + 0 > v; j--)
			values[j + 1] = values[j]
		values[j + 1] = v
	}
	if (n % 2)
		return values[(n + 1) / 2]
	return (values[n / 2] + values[n / 2 + 1]) / 2
}

function has(key, col) {
	return (key, col) in list
}

function number(v) {
	if (v >= 100)
		return sprintf("%.0f", v)
	return sprintf(v >= 10 ? "%.1f" : "%.2f", v)
}

function shown(key, col, scale) {
	scale = scales[key]
	if (scale < 0)
		return -scale / median(key, col)
	return median(key, col) * scale
}

function cell(text, i) {
	printf "%*s", (i == column_count ? 11 : 10), text
}

function print_table(i, j, key) {
	for (j = 1; j <= 2; j++) {
		printf "%-24s %-4s", "", ""
		for (i = 1; i <= column_count; i++)
			cell(titles[names[i], j], i)
		print ""
	}
	for (j = 1; j <= row_count; j++) {
		key = keys[j]
		printf "%-24s %-4s", texts[key], units[key]
		for (i = 1; i <= column_count; i++)
			cell(has(key, names[i]) ? \
				number(shown(key, names[i])) : "-", i)
		print ""
	}
}

# What a chart shows: columns that have all of its keys, one to a line.
function print_chart(chart, keys_text, i, j, n, line, chart_keys) {
	n = split(keys_text, chart_keys, " ")
	for (i = 1; i <= column_count; i++) {
		line = chart " \"" titles[names[i], 1] "|" \
			titles[names[i], 2] "\""
		for (j = 1; j <= n && has(chart_keys[j], names[i]); j++)
			line = line " " shown(chart_keys[j], names[i])
		if (j > n)
			print line >data
	}
}

function verdict(value, relation, limit) {
	if (relation == "<")
		return value < limit ? "ok" : "MISSED"
	if (relation == "<=")
		return value <= limit ? "ok" : "MISSED"
	return value >= limit ? "ok" : "MISSED"
}

function print_promise(i, key, value) {
	key = p_key[i]
	printf "%-51s", promises[i]
	if (!has(key, p_a[i]) || (p_b[i] != "" && !has(p_key_b[i], p_b[i]))) {
		printf "%8s  %-2s %-5s %s\n", "-", p_relation[i], p_limit[i],
			"MISSED"
		return
	}
	value = shown(key, p_a[i])
	if (p_b[i] != "")
		value /= shown(p_key_b[i], p_b[i])
	printf "%8.3f  %-2s %-5s %s\n", value, p_relation[i], p_limit[i],
		verdict(value, p_relation[i], p_limit[i])
}

END {
	printf "Medians of %d rounds in %d s; large files: %d MiB.\n\n",
		rounds, seconds, size
	print_table()
	print ""
	print "plain tmpfs: huge=never; tmpfs huge: huge=within_size;"
	print "passthrough_hp: over a plain tmpfs, with passthrough."
	print "bufferfs fixed: every file is fixed and wired: creation has"
	print "  populated it, so that first touch is the mapping alone."
	print "bufferfs io_uring: elastic, with -o io_uring; names alone."
	print "-: no such thing, or:"
	for (i = 1; i <= note_count; i++)
		print "  " notes[i]
	print ""
	printf "%-51s%8s  %s\n", "promise", "measured", "target"
	for (i = 1; i <= promise_count; i++)
		print_promise(i)
	if (data != "") {
		print_chart("mmap", "first-touch second-touch")
		print_chart("io", "pread-1m pwrite-1m")
		print_chart("names", "open-close create-unlink stat-uncached")
	}
	if (quick)
		printf "%-51s%8d  %-2s %-5d %s\n", "seconds of --quick",
			seconds, "<=", 60, verdict(seconds, "<=", 60)
}
