/* A plugin for QEMU that counts how often each block of kernel instructions is executed between the two no-operations of
 * `begin` and `end` in bench/rows/rows.h. Each `begin` starts anew, so that the last measured region is what counts.
 *
 *   -plugin build/bench/profile_plugin.so,out=FILE[,boot=on]
 *
 * writes a line for each block: its count, then its instructions' addresses. With `boot` it counts from reset to the first
 * `begin` instead.
 *
 * Distributions do not package qemu-plugin.h, so what is used of it is declared here, as of API version 1: QEMU 6 to 8. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tb;
struct insn;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*callback)(uint64_t id, struct tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct tb *tb, void (*callback)(unsigned cpu, void *data), int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *insn, void (*callback)(unsigned cpu, void *data), int flags,
                                            void *data);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*callback)(uint64_t id, void *data), void *data);
size_t qemu_plugin_tb_n_insns(const struct tb *tb);
struct insn *qemu_plugin_tb_get_insn(const struct tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct insn *insn);
size_t qemu_plugin_insn_size(const struct insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct insn *insn);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

/* The addresses of a block's instructions, and how often it was executed. Blocks are never freed: QEMU translates the
 * same code many times, and each time finds the block of the first. */
struct block {
    struct block *next;
    uint64_t executed;
    size_t length;
    uint64_t addresses[];
};

#define BUCKETS 65536
static struct block *blocks[BUCKETS];
static struct block user = {.length = 1}; /* all of user mode, an instruction at a time */
static int counting, boot;
static const char *path = "profile.out";

static void executed(unsigned cpu, void *data)
{
    (void)cpu;
    struct block *block = data;
    block->executed += counting;
}

static void executed_user(unsigned cpu, void *length)
{
    (void)cpu;
    if (counting)
        user.executed += (uintptr_t)length;
}

static void start(unsigned cpu, void *data)
{
    (void)cpu, (void)data;
    counting = !boot;
    if (boot)
        return;
    for (size_t bucket = 0; bucket < BUCKETS; bucket++)
        for (struct block *block = blocks[bucket]; block; block = block->next)
            block->executed = 0;
    user.executed = 0;
}

static void stop(unsigned cpu, void *data)
{
    (void)cpu, (void)data;
    counting = 0;
}

static struct block *block_of(const struct tb *tb)
{
    size_t length = qemu_plugin_tb_n_insns(tb);
    uint64_t first = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
    struct block **bucket = &blocks[first % BUCKETS];
    for (struct block *block = *bucket; block; block = block->next)
        if (block->addresses[0] == first && block->length == length)
            return block;
    struct block *block = calloc(1, sizeof *block + length * sizeof *block->addresses);
    block->length = length;
    for (size_t i = 0; i < length; i++)
        block->addresses[i] = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, i));
    block->next = *bucket;
    *bucket = block;
    return block;
}

static int is(const struct insn *insn, const char bytes[4])
{
    return qemu_plugin_insn_size(insn) == 4 && memcmp(qemu_plugin_insn_data(insn), bytes, 4) == 0;
}

static void translated(uint64_t id, struct tb *tb)
{
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(tb);
    if (qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0)) >> 63) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, 0, block_of(tb));
        return;
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed_user, 0, (void *)(uintptr_t)length);
    for (size_t i = 0; i < length; i++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (is(insn, "\x66\x45\x87\xc0"))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, start, 0, NULL);
        if (is(insn, "\x66\x45\x87\xc9"))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, stop, 0, NULL);
    }
}

static void write_all(uint64_t id, void *data)
{
    (void)id, (void)data;
    FILE *out = fopen(path, "w");
    if (!out)
        return perror(path);
    fprintf(out, "%llu 0\n", (unsigned long long)user.executed);
    for (size_t bucket = 0; bucket < BUCKETS; bucket++)
        for (struct block *block = blocks[bucket]; block; block = block->next) {
            if (!block->executed)
                continue;
            fprintf(out, "%llu", (unsigned long long)block->executed);
            for (size_t i = 0; i < block->length; i++)
                fprintf(out, " %llx", (unsigned long long)block->addresses[i]);
            fputc('\n', out);
        }
    fclose(out);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *information, int count, char **words)
{
    (void)information;
    for (int i = 0; i < count; i++) {
        if (strncmp(words[i], "out=", 4) == 0)
            path = words[i] + 4;
        boot |= strcmp(words[i], "boot=on") == 0;
    }
    counting = boot;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, write_all, NULL);
    return 0;
}
