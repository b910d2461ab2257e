// See include/CStorage.h. A fork costs the page tables' copy, a few ms per GB; pages are copied only where the
// parent writes to them while the copy lives.
#define _GNU_SOURCE
#include "CStorage.h"
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int affinity_fork_writer(void) {
  sigset_t all, before;
  sigfillset(&all);
  // No handler of ours may run in the copy.
  pthread_sigmask(SIG_BLOCK, &all, &before);
  pid_t parent = getpid();
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    setpriority(PRIO_PROCESS, 0, 10);
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    return 0;
  }
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = error;
  return child;
}

int affinity_reap(int process, int *status) {
  int raw = 0;
  pid_t ended;
  do ended = waitpid(process, &raw, WNOHANG);
  while (ended < 0 && errno == EINTR);
  if (ended == 0) return 0;
  if (ended < 0) return -1;
  *status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  return 1;
}
