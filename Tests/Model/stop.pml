/* Ctrl-Z at the grant: one waiter with its main thread and a watcher for each of two slots, another behind it.
 *
 * SlotWatch.swift, BlockingThread.swift, waiting.c, WaitingDisplay.blocks, Member.lock, MemberWaiting.swift. The terminal's
 * signal is the process's: any of its threads takes it that doesn't block it, and all stand still then.
 *
 *   SIGNALS            how often Ctrl-Z and `fg` come
 *   A1                 the watchers don't block it, the handler doesn't ask whether the main thread waits, and the hold isn't
 *                      verified before the command starts
 *   HOLDS_ONLY         with A1: asks for two holders alone, not for a stop with the mutex
 *   A1_FORK            guardian and command are forked while watchers live
 *   A10                whoever finds a hold without its doorbell doesn't wait
 */
#ifndef SIGNALS
#define SIGNALS 1
#endif

#define NOBODY 7
#define A 0
#define B 1
#define NONE 0
#define READ 1
#define WRITE 2

byte mutex = NOBODY;
byte hold[2], bell[2];       /* by whom locked for writing */
bool rung[2];                /* a short read lock of A's gate on the doorbell */
byte placeA = WRITE, placeB = WRITE;

/* A, the process */
bool isStopped;              /* all its threads */
bool pending;                /* a SIGTSTP that no thread has taken */
bool mainAllows;             /* its main thread doesn't block it now */
byte watcher[2];             /* 0 none, 1 asks for the doorbell, 2 has it, 3 done */
bool inHandler, wasStopped;
bool isReady;                /* guardian and command-to-be are forked */
bool runsA, doneA, doneB;

#ifdef A1
#define watchersAllow true
#else
#define watchersAllow false
#endif
#define room(me) (((hold[0] != NOBODY && hold[0] != me) -> 1 : 0) + ((hold[1] != NOBODY && hold[1] != me) -> 1 : 0) < 2)
#define firstFree ((hold[0] == NOBODY) -> 0 : 1)

/* waiting.c, stop(): whichever thread it is that runs it. */
inline handler() {
    atomic { pending = false; placeA = (placeA != NONE -> READ : NONE) };
    /* The kernel may have given us the slot just now; it is not for one who stands still. */
    atomic {
        if
        :: hold[0] == A -> hold[0] = NOBODY; bell[0] = (bell[0] == A -> NOBODY : bell[0])
        :: else
        fi;
        wasStopped = true;
#ifndef HOLDS_ONLY
        assert(mutex != A);                          /* nobody stops with the mutex */
#endif
        isStopped = true
    }
    skip                                             /* goes on here, after SIGCONT */
}

inline lockSlot(me, s) {
    hold[s] = me;
    bell[s] = (rung[s] -> bell[s] : me)              /* a sleeper's read lock can't keep anybody out */
}

proctype Main() provided (!isStopped) {
    byte slot;
look:
    atomic {
        if
        :: wasStopped -> wasStopped = false; placeA = WRITE       /* lostPlace, takesPlaceAnew */
        :: else
        fi;
        if
        :: room(A) -> goto claim
        :: else -> mainAllows = true                              /* block(): the mask is changed around it */
        fi
    }
    /* SlotWatch.await starts what isn't there; they have this thread's mask, or one of their own. */
    atomic { watcher[0] = (watcher[0] == 0 -> 1 : watcher[0]); watcher[1] = (watcher[1] == 0 -> 1 : watcher[1]) }
    if
    :: watcher[0] == 3 || watcher[1] == 3                         /* nudged */
    :: true -> progress_clock: skip                               /* or its time is up */
    :: pending -> handler()
    fi;
    /* A signal may come until it is blocked again. */
    if
    :: atomic { pending -> skip }; handler()
    :: atomic { !pending -> mainAllows = false }
    fi;
    if
    :: mainAllows -> mainAllows = false
    :: else
    fi;
    atomic {
        watcher[0] = (watcher[0] == 3 -> 0 : watcher[0]);
        watcher[1] = (watcher[1] == 3 -> 0 : watcher[1])
    }
    /* The head makes its command ready, once. */
    if
    :: !isReady ->
#ifndef A1_FORK
        atomic { watcher[0] == 0 || watcher[0] == 1 || watcher[0] == 3 -> watcher[0] = 0; };
        atomic { watcher[1] == 0 || watcher[1] == 1 || watcher[1] == 3 -> watcher[1] = 0; };
#endif
        atomic { assert(watcher[0] == 0 && watcher[1] == 0); isReady = true }   /* no thread lives across a fork */
    :: else
    fi;
    goto look;

claim:
    atomic { mutex == NOBODY -> mutex = A };
    atomic {
        if
        :: room(A) -> slot = firstFree; lockSlot(A, slot)
        :: else -> mutex = NOBODY; goto look
        fi
    }
    atomic { assert(room(A)); placeA = READ };
#ifndef A1
    /* Member.record, stands(): through another description, still under the mutex */
    if
    :: hold[slot] != A -> atomic { placeA = WRITE; mutex = NOBODY }; goto look    /* Unheld, takesPlaceAnew */
    :: else
    fi;
#endif
    mutex = NOBODY;
    /* granted: SlotWatch goes, which joins its threads */
    atomic { watcher[0] != 2 -> watcher[0] = 0 };
    atomic { watcher[1] != 2 -> watcher[1] = 0 };
    runsA = true;
    /* LocalGrant.takeDoorbell: where somebody stood in front of it at the grant */
    bell[slot] = (rung[slot] || hold[slot] != A -> bell[slot] : A);
    atomic { assert(hold[slot] == A); runsA = false };            /* believed held is locked */
    atomic {
        hold[slot] = (hold[slot] == A -> NOBODY : hold[slot]);
        bell[slot] = (bell[slot] == A -> NOBODY : bell[slot]);
        placeA = NONE
    }
    doneA = true
}

proctype Watcher(byte s) provided (!isStopped) {
end:
    do
    :: atomic { watcher[s] == 1 && (bell[s] == NOBODY || bell[s] == A) -> watcher[s] = 2; rung[s] = true }
#ifdef A10
    :: atomic { watcher[s] == 2 -> watcher[s] = 3; rung[s] = false }
#else
    :: atomic { watcher[s] == 2 && (hold[s] == NOBODY || hold[s] == A) -> watcher[s] = 3; rung[s] = false }
    /* A hold without its doorbell: looked at by the clock. */
    :: atomic { watcher[s] == 2 && hold[s] != NOBODY && hold[s] != A -> watcher[s] = 1; rung[s] = false };
       progress_retry: skip
#endif
    :: watchersAllow && (watcher[s] == 1 || watcher[s] == 2) && pending && !inHandler ->
        inHandler = true;
        handler();
        inHandler = false
    od
}

/* Two who hold, and give back. */
proctype Holder(byte s) {
    atomic { hold[s] = NOBODY; bell[s] = NOBODY }
}

proctype Other() {
    byte slot;
    /* Behind A, as long as that waits in line. */
    placeA != WRITE;
look:
    if
    :: placeA == WRITE -> goto behind
    :: placeA != WRITE && room(B) -> goto claim
    :: placeA != WRITE && !room(B) ->
        /* A head, too: the doorbells are what it sleeps on. */
        if
        :: hold[0] == NOBODY || hold[1] == NOBODY
#ifdef A10
        :: bell[0] == NOBODY || bell[1] == NOBODY
#endif
        fi;
        goto look
    fi;
behind:
    placeA != WRITE;
    goto look;
claim:
    atomic { mutex == NOBODY -> mutex = B };
    atomic {
        if
        :: room(B) && placeA != WRITE -> slot = firstFree; lockSlot(B, slot)
        :: else -> mutex = NOBODY; goto look
        fi
    }
    atomic { assert(room(B)); placeB = READ };
    mutex = NOBODY;
    assert(hold[slot] == B);
    atomic {
        assert(hold[slot] == B);
        hold[slot] = NOBODY;
        bell[slot] = (bell[slot] == B -> NOBODY : bell[slot]);
        placeB = NONE
    }
    doneB = true
}

/* Ctrl-Z and `fg`. */
proctype Terminal() {
    byte n;
end:
    do
    :: atomic { n < SIGNALS && !isStopped && !pending -> n++; pending = true }
    :: atomic { isStopped -> isStopped = false }
    od
}

init {
    atomic {
        hold[0] = 2; bell[0] = 2; hold[1] = 3; bell[1] = 3;
        run Main(); run Other(); run Terminal(); run Watcher(0); run Watcher(1); run Holder(0); run Holder(1)
    }
}

/* A free slot and a living waiter lead to a grant. */
#ifdef LIVENESS
ltl granted { <>(doneA && doneB) }
#endif
