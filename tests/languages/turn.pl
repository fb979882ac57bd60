#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# turn.pl - one member of a ring of processes, in Perl: see turn.c.
#
# The mapping is a string of Sys::Mmap (libsys-mmap-perl): what is assigned to a part
# of it is stored there, in place. Of xattrs Perl's core knows nothing; setfattr does.
use strict;
use warnings;
use Fcntl;
use Sys::Mmap qw(mmap PROT_READ PROT_WRITE MAP_SHARED);
use Time::HiRes qw(usleep);

my ($dir, $name, $spec, $index, $members, $rounds) = @ARGV;
use constant { NAME_AT => 64, NAME_BYTES => 16, LINE_BYTES => 32 };

sub map_buffer { # a reference to the string
	my ($path) = @_;
	my $memory;
	open(my $file, '+<', $path) or die "$path: $!\n";
	mmap($memory, 0, PROT_READ | PROT_WRITE, MAP_SHARED, $file)
		or die "$path: $!\n";
	return \$memory;
}

sysopen(my $made, "$dir/$name", O_RDWR | O_CREAT | O_EXCL, 0600)
	or die "$dir/$name: $!\n";
close($made);
system('setfattr', '-n', 'user.iobuf', '-v', $spec, "$dir/$name") == 0
	or die "setfattr failed\n";
my $log = map_buffer("$dir/$name");
my $page = map_buffer("$dir/page");

for my $turn (0 .. $rounds - 1) {
	my $mine = $turn * $members + $index;
	usleep(100) until unpack('L', substr($$page, 0, 4)) == $mine;
	my $before = unpack("Z@{[NAME_BYTES]}", substr($$page, NAME_AT, NAME_BYTES));
	substr($$log, $turn * LINE_BYTES, LINE_BYTES) =
		sprintf("%-15d%-16s\n", $mine, $before);
	substr($$page, NAME_AT, NAME_BYTES) = pack("a@{[NAME_BYTES]}", $name);
	substr($$page, 0, 4) = pack('L', $mine + 1);
}
