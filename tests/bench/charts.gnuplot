# The charts of scripts/bench --plot. Variables: data (lines of "CHART LABEL
# VALUE..."; see report.awk) and charts, the directory for them.
two_lines(s) = s[1:strstrt(s, '|') - 1]."\n".s[strstrt(s, '|') + 1:*]

set terminal svg size 760,320 noenhanced font 'sans-serif,12' background rgb 'white'
set style data histograms
set style fill solid border -1
set boxwidth 0.9
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror out
set key outside top center horizontal
set bmargin 4
set title noenhanced
set yrange [0:*]

set output charts.'/mmap.svg'
set title '512 MiB mapped: time until every page was touched'
set ylabel 'ms, logarithmic'
set logscale y
set yrange [1:*]
plot '< grep ^mmap '.data using 3:xtic(two_lines(stringcolumn(2))) title 'a fresh file' lc rgb '#4477aa', \
	'' using 4 title 'the same file, in a second process' lc rgb '#ccbb44'

unset logscale y
set yrange [0:*]
set output charts.'/io.svg'
set title 'pread and pwrite of 1 MiB at random offsets of 512 MiB'
set ylabel 'GB/s'
plot '< grep ^io '.data using 3:xtic(two_lines(stringcolumn(2))) title 'pread' lc rgb '#4477aa', \
	'' using 4 title 'pwrite' lc rgb '#ccbb44'

set output charts.'/names.svg'
set title 'names: filesystems of a daemon, nothing cached'
set ylabel 'us'
plot '< grep ^names '.data using 3:xtic(two_lines(stringcolumn(2))) title 'open+close' lc rgb '#4477aa', \
	'' using 4 title 'create+close+unlink' lc rgb '#ccbb44', \
	'' using 5 title 'stat' lc rgb '#228833'
