/*
 * A TCG plugin of QEMU that counts the guest's instructions.
 *
 * Arguments: NAME=0xADDRESS marks the first execution of the instruction at that virtual address
 * (at most MARKS of them), every=SECONDS marks the passing of time, count=off leaves out the counting
 * so that the times of the marks are true, count=blocks counts whole translated blocks, which is faster
 * and counts what a fault in a block leaves out or begins again, profile=FILE counts by address too.
 * Each mark is a line on the standard error output:
 *
 *	insn NAME INSTRUCTIONS NANOSECONDS
 *
 * with the instructions that all CPUs have begun since the start of the machine, and the real time
 * since 1970. An instruction that faults and is begun again counts twice. An instruction right behind
 * itself does not count again: that is how QEMU executes a repeated string instruction. The last line
 * has the name "end".
 *
 * The profile has for each mark a line "mark NAME", before it a line "ADDRESS INSTRUCTIONS" for each
 * virtual address executed since the mark before.
 *
 * The declarations are those of QEMU's docs/devel/tcg-plugins.rst that are the same from QEMU 7.2 to
 * QEMU 10; Debian ships no qemu-plugin.h. API_VERSION is 1 up to QEMU 8.2 and 2 from QEMU 9.0.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void (*vcpu_tb_trans_cb)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*vcpu_udata_cb)(unsigned int vcpu, void *udata);
typedef void (*udata_cb)(qemu_plugin_id_t, void *udata);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, vcpu_tb_trans_cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, vcpu_udata_cb, enum qemu_plugin_cb_flags, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, vcpu_udata_cb, enum qemu_plugin_cb_flags, void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, udata_cb, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = API_VERSION;

#define CPUS 64
#define MARKS 16

/* Each CPU writes its own counter; others read it. */
static struct counter {
	_Alignas(64) _Atomic uint64_t n;
	struct place *last; /* where the CPU has been just now */
	uint64_t at; /* the same of blocks: its last instruction's address */
} counters[CPUS];

static struct mark {
	const char *name;
	uint64_t address;
	atomic_flag seen;
} marks[MARKS];
static int mark_count;

static bool counting = true, by_block;

/* An address of instructions and what the profile counts there, in a hash table with chains. */
struct place {
	uint64_t address;
	_Atomic uint64_t n;
	struct place *next;
};
#define PLACES 65536
static struct place *places[PLACES];
static pthread_mutex_t places_lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *profile;

static struct place *place(uint64_t address)
{
	pthread_mutex_lock(&places_lock);
	struct place **head = &places[address % PLACES], *p = *head;
	while (p != NULL && p->address != address)
		p = p->next;
	if (p == NULL) {
		p = calloc(1, sizeof *p);
		if (p == NULL)
			abort();
		p->address = address;
		p->next = *head;
		*head = p;
	}
	pthread_mutex_unlock(&places_lock);
	return p;
}

/* Writes what has been counted since the last time. */
static void print_profile(const char *name)
{
	pthread_mutex_lock(&places_lock);
	for (int i = 0; i < PLACES; i++)
		for (struct place *p = places[i]; p != NULL; p = p->next) {
			uint64_t n = atomic_exchange_explicit(&p->n, 0, memory_order_relaxed);
			if (n != 0)
				fprintf(profile, "%#" PRIx64 " %" PRIu64 "\n", p->address, n);
		}
	fprintf(profile, "mark %s\n", name);
	fflush(profile);
	pthread_mutex_unlock(&places_lock);
}

static void print(const char *name)
{
	uint64_t sum = 0;
	for (int i = 0; i < CPUS; i++)
		sum += atomic_load_explicit(&counters[i].n, memory_order_relaxed);
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	fprintf(stderr, "insn %s %" PRIu64 " %" PRIu64 "\n", name, sum, (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec);
	if (profile != NULL)
		print_profile(name);
}

static void count(unsigned int vcpu, void *udata)
{
	struct place *p = udata;
	struct counter *c = &counters[vcpu % CPUS];
	if (c->last == p)
		return;
	c->last = p;
	atomic_store_explicit(&c->n, atomic_load_explicit(&c->n, memory_order_relaxed) + 1, memory_order_relaxed);
	if (profile != NULL)
		atomic_fetch_add_explicit(&p->n, 1, memory_order_relaxed);
}

/* A block as it was translated. */
struct block {
	uint64_t first, last; /* addresses of instructions */
	uint64_t n;
};

static void count_block(unsigned int vcpu, void *udata)
{
	struct block *b = udata;
	struct counter *c = &counters[vcpu % CPUS];
	if (b->n == 1 && c->at == b->first)
		return;
	c->at = b->last;
	atomic_store_explicit(&c->n, atomic_load_explicit(&c->n, memory_order_relaxed) + b->n, memory_order_relaxed);
}

static void reach(unsigned int vcpu, void *udata)
{
	struct mark *m = udata;
	if (!atomic_flag_test_and_set(&m->seen))
		print(m->name);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	if (by_block) {
		struct block *b = malloc(sizeof *b); /* as long as QEMU may execute it: for ever */
		if (b == NULL)
			abort();
		b->n = n;
		b->first = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
		b->last = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, n - 1));
		qemu_plugin_register_vcpu_tb_exec_cb(tb, count_block, QEMU_PLUGIN_CB_NO_REGS, b);
	}
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);
		/* A mark does not count its own instruction. */
		for (int m = 0; m < mark_count; m++)
			if (marks[m].address == address)
				qemu_plugin_register_vcpu_insn_exec_cb(insn, reach, QEMU_PLUGIN_CB_NO_REGS, &marks[m]);
		if (counting)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, count, QEMU_PLUGIN_CB_NO_REGS, place(address));
	}
}

static void *tick(void *seconds)
{
	struct timespec period = { .tv_sec = (intptr_t)seconds };
	for (;;) {
		nanosleep(&period, NULL);
		print("tick");
	}
	return NULL;
}

static void finish(qemu_plugin_id_t id, void *udata)
{
	print("end");
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	long every = 0;
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		if (value == NULL) {
			fprintf(stderr, "insn: argument %s is not of the form name=value\n", argv[i]);
			return -1;
		}
		*value++ = 0;
		char *end = value;
		if (strcmp(argv[i], "count") == 0) {
			by_block = strcmp(value, "blocks") == 0;
			counting = strcmp(value, "off") != 0 && !by_block;
			continue;
		}
		if (strcmp(argv[i], "profile") == 0) {
			profile = fopen(value, "w");
			if (profile == NULL) {
				fprintf(stderr, "insn: %s cannot be written\n", value);
				return -1;
			}
			continue;
		}
		uint64_t number = strtoull(value, &end, 0);
		if (end == value || *end != 0) {
			fprintf(stderr, "insn: argument %s: %s is not a number\n", argv[i], value);
			return -1;
		}
		if (strcmp(argv[i], "every") == 0) {
			every = number;
		} else if (mark_count < MARKS) {
			marks[mark_count].name = strdup(argv[i]);
			marks[mark_count++].address = number;
		} else {
			fprintf(stderr, "insn: more than %d marks\n", MARKS);
			return -1;
		}
	}
	pthread_t thread;
	if (every > 0 && pthread_create(&thread, NULL, tick, (void *)(intptr_t)every) != 0) {
		fprintf(stderr, "insn: no thread\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return 0;
}
