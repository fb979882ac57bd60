// SPDX-License-Identifier: MIT
// turn.js - one member of a ring of processes, in JavaScript: see turn.c.
//
// Node.js has no mmap, so this member does not map: it reads and writes the buffers by
// their descriptors. Those bytes are the ones that the others have mapped: read(2) and
// write(2) of a buffer go to its own pages, by the kernel alone or, for a wired one,
// through the daemon, and nothing in between keeps a copy. Each look at the page is a
// system call. Of xattrs Node.js knows nothing either; setfattr does.
'use strict';
const fs = require('fs');
const { execFileSync } = require('child_process');

const NAME_AT = 64, NAME_BYTES = 16, LINE_BYTES = 32;
const [dir, name, spec] = process.argv.slice(2, 5);
const [index, members, rounds] = process.argv.slice(5, 8).map(Number);

fs.closeSync(fs.openSync(`${dir}/${name}`, 'wx', 0o600));
execFileSync('setfattr', ['-n', 'user.iobuf', '-v', spec, `${dir}/${name}`]);
const log = fs.openSync(`${dir}/${name}`, 'r+');
const page = fs.openSync(`${dir}/page`, 'r+');

// The counter in the machine's byte order, which is that of a typed array.
const counter = new Uint32Array(1);
const before = Buffer.alloc(NAME_BYTES);
const never = new Int32Array(new SharedArrayBuffer(4));

function read(bytes, at) {
	if (fs.readSync(page, bytes, 0, bytes.byteLength, at) !== bytes.byteLength)
		throw new Error('the page is too short');
}

for (let turn = 0; turn < rounds; turn++) {
	const mine = turn * members + index;
	for (read(counter, 0); counter[0] !== mine; read(counter, 0))
		Atomics.wait(never, 0, 0, 0.1); // a sleep of 0.1 ms
	read(before, NAME_AT);
	const line = String(mine).padEnd(15) +
		before.toString('latin1').replace(/\0+$/, '').padEnd(16) + '\n';
	fs.writeSync(log, line, turn * LINE_BYTES, 'latin1');
	fs.writeSync(page, name.padEnd(NAME_BYTES, '\0'), NAME_AT, 'latin1');
	counter[0] = mine + 1;
	fs.writeSync(page, counter, 0, 4, 0);
}
