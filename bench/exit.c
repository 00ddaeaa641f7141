/* The smallest program to start: the rows that execute one build it statically against musl, and dynamically. */
int main(void)
{
    return 0;
}
