/* SPDX-License-Identifier: MIT */
/*
 * lmdb_writemap.c - two processes write an LMDB environment in turn, through
 * its writable shared map, and each checks what the other wrote.
 * usage: lmdb_writemap DIRECTORY TIMES
 */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(call)                                                            \
	do {                                                                   \
		int error = (call);                                            \
		if (error) {                                                   \
			fprintf(stderr, "%s: %s\n", #call,                     \
				mdb_strerror(error));                          \
			exit(1);                                               \
		}                                                              \
	} while (0)

static MDB_val val_of(const char *text)
{
	return (MDB_val){ .mv_size = strlen(text) + 1, .mv_data = (void *)text };
}

/* Add one to the counter, and leave a row that says who did. */
static void step(MDB_env *env, const char *who, int i)
{
	MDB_val key = val_of("counter"), value;
	char name[32], text[32];
	int counter = 0;
	MDB_txn *txn;
	MDB_dbi dbi;

	CHECK(mdb_txn_begin(env, NULL, 0, &txn));
	CHECK(mdb_dbi_open(txn, NULL, 0, &dbi));
	if (mdb_get(txn, dbi, &key, &value) == 0)
		counter = atoi(value.mv_data);
	snprintf(text, sizeof(text), "%d", counter + 1);
	value = val_of(text);
	CHECK(mdb_put(txn, dbi, &key, &value, 0));
	snprintf(name, sizeof(name), "%s-%d", who, i);
	key = val_of(name);
	CHECK(mdb_put(txn, dbi, &key, &value, 0));
	CHECK(mdb_txn_commit(txn));
}

static void run(const char *dir, const char *who, int times)
{
	MDB_env *env;

	CHECK(mdb_env_create(&env));
	CHECK(mdb_env_set_mapsize(env, 64 << 20));
	CHECK(mdb_env_open(env, dir, MDB_WRITEMAP, 0644));
	for (int i = 0; i < times; i++)
		step(env, who, i);
	mdb_env_close(env);
}

static void check(const char *dir, int expected)
{
	MDB_val key = val_of("counter"), value;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	CHECK(mdb_env_create(&env));
	CHECK(mdb_env_open(env, dir, MDB_RDONLY, 0644));
	CHECK(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
	CHECK(mdb_dbi_open(txn, NULL, 0, &dbi));
	CHECK(mdb_get(txn, dbi, &key, &value));
	if (atoi(value.mv_data) != expected) {
		fprintf(stderr, "the counter is %s, not %d\n",
			(char *)value.mv_data, expected);
		exit(1);
	}
	mdb_txn_abort(txn);
	mdb_env_close(env);
}

int main(int argc, char **argv)
{
	int times = argc == 3 ? atoi(argv[2]) : 0;
	int status;
	pid_t child;

	if (times <= 0)
		return 2;
	child = fork();
	if (child == 0) {
		run(argv[1], "child", times);
		_exit(0);
	}
	run(argv[1], "parent", times);
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	check(argv[1], 2 * times);
	return 0;
}
