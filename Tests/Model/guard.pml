/* The guarded command: semq in front, its guardian, the command and a child of it, under one description of which all
 * have duplicates; another waits for the slot.
 *
 * GuardedCommand.swift, Guardian.swift, Front.swift, Supervisor.swift, GuardState.swift, Permits.swift, LocalGrant.swift.
 * The lock goes with an unlock through any duplicate, or with the last of them. The child is in the command's session.
 * Taken for granted: what runs keeps its duplicate, or one of semq and guardian lives (docs/model.md).
 *
 *   FAULTS                 how many are killed
 *   A2                     the turn ends with the command, not with its tree
 *   UNSTARTED              a guardian whose command was killed before it was told to go gives the permit back
 *   BLIND                  who takes over gives back without asking whether that was done
 *   HEADLESS               what was found, see docs/model.md: the child has closed its duplicate
 */
#ifndef FAULTS
#define FAULTS 2
#endif

mtype = { nobody, ours, theirs };
#define FRONT 0
#define GUARDIAN 1
#define COMMAND 2
#define CHILD 5              /* the second guardian and command are 3 and 4 */

mtype lock = ours, record = ours;
bool up[6], has[6];          /* lives; has a duplicate */
mtype = { lives, exited, wasKilled };
mtype fate[6] = lives;        /* what its parent learns */
bool sent[6], started[6];    /* the byte, and page.isRunning, by the command's number; each pair has its page */
bool closed;                 /* nobody can send it any more */
bool works[6];               /* does what the permit is for */
byte faults;
byte current = 1;            /* the guardian of now */

inline leave(x, how) {
    has[x] = false;
    works[x] = false;
    fate[x] = how;
    if
    :: lock == ours && !has[0] && !has[1] && !has[2] && !has[3] && !has[4] && !has[5] -> lock = nobody
    :: else
    fi;
    up[x] = false        /* last: who is not up does no step more */
}

#define isWork (works[2] || works[4] || works[5])
#define treeHasEnded(c) (fate[c] != lives && !up[CHILD])
#ifdef A2
#define turnIsOver(c) (fate[c] != lives)
#else
#define turnIsOver(c) treeHasEnded(c)
#endif

/* LocalGrant.tryRelease: the record before the lock. */
inline release(mayBeDone) {
    if
    :: atomic { !(mayBeDone) || record == ours -> record = nobody }
    :: else
    fi;
    atomic { lock = (lock == ours -> nobody : lock) }
}

/* GuardedCommand.become */
proctype Command(byte me) provided (up[me]) {
    if
    :: sent[me] -> started[me] = true
    :: closed && !sent[me] -> goto over               /* nobody is there to start it */
    fi;
    atomic { assert(lock == ours); works[me] = true };    /* runs under its lock */
    if
    :: atomic { !up[CHILD] && fate[CHILD] == lives -> up[CHILD] = true; works[CHILD] = true;
#ifndef HEADLESS
        has[CHILD] = true
#endif
       }
    :: true
    fi;
    assert(lock == ours);
over:
    atomic { leave(me, exited) }
}

active proctype Child() provided (up[CHILD]) {
    works[CHILD] -> atomic { leave(CHILD, exited) }
}

/* Guardian.run */
proctype Guardian(byte me; bool granted) provided (up[me]) {
    if
    :: granted
    :: !granted && started[me + 1]
    :: !granted && !started[me + 1] && fate[me + 1] != lives ->    /* waitForStart */
#ifdef UNSTARTED
        release(false);
#endif
        goto over
    fi;
    /* Supervisor.run */
    turnIsOver(me + 1);
    release(false);
over:
    atomic { leave(me, exited) }
}

/* GuardedCommand.run and Front.run */
active proctype Front() provided (up[FRONT]) {
    if
    :: atomic { up[COMMAND] -> sent[COMMAND] = true }; started[COMMAND] = true
    :: else ->                                        /* it was killed: another, under the same permit */
        atomic {
            current = 3;
            up[3] = true; has[3] = true; up[4] = true; has[4] = true; sent[4] = true;
            run Guardian(3, true); run Command(4)
        }
    fi;
    if
    :: fate[current] == exited
    :: fate[current] == wasKilled ->                   /* takes over */
        turnIsOver(current + 1);
#ifdef BLIND
        release(false)
#else
        release(true)
#endif
    fi;
    atomic { closed = true; leave(FRONT, exited) }
}

active proctype Next() {
    atomic {
        lock == nobody -> lock = theirs;
        assert(!isWork)                               /* granted beside what still works */
    }
    record = theirs;
    do
    :: assert(record == theirs && !isWork)
    od
}

active proctype Killer() {
    do
    :: atomic { faults < FAULTS && up[FRONT] -> faults++; leave(FRONT, wasKilled); closed = true }
    :: atomic { faults < FAULTS && up[1] -> faults++; leave(1, wasKilled) }
    :: atomic { faults < FAULTS && up[2] -> faults++; leave(2, wasKilled) }
    :: atomic { faults < FAULTS && up[3] -> faults++; leave(3, wasKilled) }
    :: atomic { faults < FAULTS && up[4] -> faults++; leave(4, wasKilled) }
    :: faults == FAULTS -> break
    :: true -> break
    od
}

init {
    atomic {
        up[0] = true; up[1] = true; up[2] = true;
        has[0] = true; has[1] = true; has[2] = true;
        run Guardian(1, false);
        run Command(2)
    }
}

#ifdef LIVENESS
/* When nothing of it works any more, the next one is let in. */
ltl handedOver { <>(lock == theirs) }
#endif
