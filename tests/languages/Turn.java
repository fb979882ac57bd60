// SPDX-License-Identifier: MIT
// Turn.java - one member of a ring of processes, in Java: see turn.c.
//
// Java has both: FileChannel.map(), and user xattrs as UserDefinedFileAttributeView,
// which writes the "user." before their names itself.
import java.io.IOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.UserDefinedFileAttributeView;

class Turn {
	static final int NAME_AT = 64, NAME_BYTES = 16, LINE_BYTES = 32;
	static final VarHandle WORDS = MethodHandles.byteBufferViewVarHandle(
			int[].class, ByteOrder.nativeOrder());

	static MappedByteBuffer map(Path path) throws IOException {
		try (FileChannel file = FileChannel.open(path,
				StandardOpenOption.READ, StandardOpenOption.WRITE)) {
			return file.map(FileChannel.MapMode.READ_WRITE, 0, file.size());
		}
	}

	static void make(Path path, String spec) throws IOException {
		Files.createFile(path);
		Files.getFileAttributeView(path, UserDefinedFileAttributeView.class)
				.write("iobuf", StandardCharsets.US_ASCII.encode(spec));
	}

	public static void main(String[] args) throws Exception {
		Path dir = Path.of(args[0]);
		String name = args[1];
		int index = Integer.parseInt(args[3]);
		int members = Integer.parseInt(args[4]);
		int rounds = Integer.parseInt(args[5]);

		make(dir.resolve(name), args[2]);
		MappedByteBuffer log = map(dir.resolve(name));
		MappedByteBuffer page = map(dir.resolve("page"));
		byte[] before = new byte[NAME_BYTES];
		byte[] own = new byte[NAME_BYTES];
		System.arraycopy(name.getBytes(StandardCharsets.US_ASCII), 0, own, 0,
				name.length());

		for (int turn = 0; turn < rounds; turn++) {
			int mine = turn * members + index;
			while ((int) WORDS.getVolatile(page, 0) != mine)
				Thread.sleep(0, 100000);
			page.get(NAME_AT, before);
			String line = String.format("%-15d%-16s\n", mine,
					new String(before, StandardCharsets.US_ASCII)
							.replace("\0", ""));
			log.put(turn * LINE_BYTES,
					line.getBytes(StandardCharsets.US_ASCII));
			page.put(NAME_AT, own);
			WORDS.setVolatile(page, 0, mine + 1);
		}
	}
}
