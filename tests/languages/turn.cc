// SPDX-License-Identifier: MIT
// turn.cc - one member of a ring of processes, in C++: see turn.c.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace {

constexpr std::size_t name_at = 64, name_bytes = 16, line_bytes = 32;

int check(int result, const std::string &what)
{
	if (result < 0)
		throw std::system_error(errno, std::generic_category(), what);
	return result;
}

// A buffer, mapped for as long as this lives; with a specification it is made.
class mapping {
public:
	explicit mapping(const std::string &path, const std::string &spec = {})
	{
		const int flags = O_RDWR | (spec.empty() ? 0 : O_CREAT | O_EXCL);
		const int fd = check(open(path.c_str(), flags, 0600), path);
		struct stat st;

		if (!spec.empty())
			check(fsetxattr(fd, "user.iobuf", spec.data(),
					spec.size(), 0),
			      spec);
		check(fstat(fd, &st), path);
		size_ = static_cast<std::size_t>(st.st_size);
		memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
			       MAP_SHARED, fd, 0);
		check(memory_ == MAP_FAILED ? -1 : 0, path);
		close(fd);
	}
	~mapping() { munmap(memory_, size_); }
	mapping(const mapping &) = delete;
	mapping &operator=(const mapping &) = delete;

	char *bytes() const { return static_cast<char *>(memory_); }

private:
	void *memory_;
	std::size_t size_;
};

} // namespace

int main(int argc, char **argv)
{
	if (argc != 7)
		return 2;
	const std::string dir = argv[1], name = argv[2];
	const unsigned index = std::stoul(argv[4]), members = std::stoul(argv[5]),
		       rounds = std::stoul(argv[6]);
	const mapping log(dir + "/" + name, argv[3]), page(dir + "/page");
	std::atomic_ref<unsigned> counter(
		*reinterpret_cast<unsigned *>(page.bytes()));
	char *const before = page.bytes() + name_at;

	for (unsigned turn = 0; turn < rounds; turn++) {
		const unsigned mine = turn * members + index;
		char line[line_bytes + 1];

		while (counter.load() != mine)
			std::this_thread::sleep_for(std::chrono::microseconds(100));
		std::snprintf(line, sizeof(line), "%-15u%-16.16s\n", mine, before);
		std::memcpy(log.bytes() + turn * line_bytes, line, line_bytes);
		std::memset(before, 0, name_bytes);
		std::memcpy(before, name.data(), name.size());
		counter.store(mine + 1);
	}
}
