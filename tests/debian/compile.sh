# gcc and make build a program of several files, and one with threads; they run.
export LC_ALL=C
cat > Makefile <<'END'
CFLAGS = -O2 -Wall -g
OBJECTS = main.o words.o sum.o
program: $(OBJECTS) libextra.so
	$(CC) -o $@ $(OBJECTS) -L. -lextra -Wl,-rpath,'$$ORIGIN' -lm
libextra.so: extra.c
	$(CC) $(CFLAGS) -shared -fPIC -o $@ $<
main.o words.o: words.h
clean:
	rm -f program *.o *.so
END
echo 'int count_words(const char *text); double root_sum(int n); int extra(int n);' > words.h
cat > main.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include "words.h"
int main(int argc, char **argv)
{
    printf("%d words, sum %.3f, extra %d, %s\n", count_words("what a fine day"), root_sum(1000), extra(20), argv[argc - 1]);
    return argc;
}
END
cat > words.c <<'END'
#include <ctype.h>
#include "words.h"
int count_words(const char *text)
{
    int words = 0, in_word = 0;
    for (; *text; text++) {
        words += !in_word && !isspace((unsigned char)*text);
        in_word = !isspace((unsigned char)*text);
    }
    return words;
}
END
printf '#include <math.h>\n#include "words.h"\ndouble root_sum(int n) { double s = 0; while (n--) s += sqrt(n); return s; }\n' > sum.c
echo 'int extra(int n) { return n < 2 ? n : extra(n - 1) + extra(n - 2); }' > extra.c
make -j 4 2>&1 | sort; ./program one two; echo $?
make; touch words.h; make | grep -c '^cc'; make clean; make -s program && ldd ./program | grep -c libextra
cat > threads.c <<'END'
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
enum { THREADS = 8, ROUNDS = 2000 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_key_t key;
static sem_t semaphore;
static long total, turn;
static atomic_long atomic;
static __thread long own;
static void at_end(void *value) { atomic += (long)value; }
static void *work(void *argument)
{
    long id = (long)argument;
    pthread_setspecific(key, (void *)1000);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        total++;
        pthread_mutex_unlock(&mutex);
        own++;
        atomic_fetch_add(&atomic, 1);
        pthread_rwlock_rdlock(&rwlock);
        pthread_rwlock_unlock(&rwlock);
    }
    pthread_mutex_lock(&mutex);
    while (turn != id)
        pthread_cond_wait(&changed, &mutex);
    printf("thread %ld: %ld\n", id, own);
    turn++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    sem_post(&semaphore);
    return (void *)own;
}
static void *forever(void *none) { for (;;) pause(); return none; }
int main(void)
{
    pthread_t threads[THREADS], other;
    long sum = 0;
    void *result;
    pthread_key_create(&key, at_end);
    pthread_barrier_init(&barrier, NULL, THREADS);
    sem_init(&semaphore, 0, 0);
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < THREADS; i++)
        sem_wait(&semaphore);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        sum += (long)result;
    }
    pthread_create(&other, NULL, forever, NULL);
    pthread_cancel(other);
    pthread_join(other, &result);
    printf("%ld %ld %ld %d\n", total, sum, (long)atomic, result == PTHREAD_CANCELED);
    return 0;
}
END
gcc -O1 -o threads threads.c -pthread && ./threads && gcc -static -O1 -o threads-static threads.c -pthread && ./threads-static | tail -n 1
printf 'int main(void) { return *(volatile int *)0; }' > crash.c && gcc -o crash crash.c && (./crash; echo $?) 2> /dev/null
printf 'int main(void) { undeclared(; }' > wrong.c; gcc -c wrong.c 2>&1 | grep -c error; gcc -S -o - extra.c | grep -c ret; ar rcs lib.a extra.c && ar t lib.a; nm -D libextra.so | grep -c extra; objdump -d program | grep -c '>:$' | grep -c '[1-9]'; strip program && ./program x; size program | wc -l; gcc -E -dM - < /dev/null | grep -c __x86_64__
