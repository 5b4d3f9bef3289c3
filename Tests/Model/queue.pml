/* The queue: who joins, waits, claims and gives back, under the mutex and beside it.
 *
 * Member.swift, MemberWaiting.swift, MemberPassing.swift, Turn.swift, Book.swift, Notes.swift, LocalGrant.swift and
 * Administration.swift; docs/model.md says which step is which. Each waiter is a process with one thread. A lock has
 * the waiter's number, for each has one description that counts; stop.pml and guard.pml have threads and duplicates.
 *
 *   WAITERS ROUNDS CHANGES NOTES FAULTS   bounds
 *   A7 A9 NOTES_UNREAD RECORD_LATE            one fault put back in
 *   HOLDS_ONLY                                with A9: asks for two holders alone, not for the order
 *   UNWRITTEN                                 a note is for whoever has the number by now
 *   DRAWN_TWICE HALF_A7                       with UNWRITTEN: what was found, see docs/model.md
 */
#ifndef WAITERS
#define WAITERS 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef CHANGES
#define CHANGES 2
#endif
#ifndef NOTES
#define NOTES 1
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif

#define NOBODY 7
#define NONE 0
#define READ 1
#define WRITE 2

/* the kernel's */
byte mutex = NOBODY;
byte hold[SLOTS] = NOBODY;
byte lk[WAITERS];            /* what is locked of the ticket's two bytes */
byte tk[WAITERS];            /* whose number is this */
bool runs[WAITERS];          /* neither killed nor stopped */
bool stopped[WAITERS];

/* the file's */
bool sound = true;           /* the header can be read */
byte concurrency = 1;
byte last;                   /* the header's lastTicket */
byte rec[SLOTS];             /* 1 + the ticket that the slot's record names; 0: free */
byte note;                   /* 1 + the ticket that a note is for */

/* for the properties alone */
byte drawn;                  /* the highest number ever drawn */
byte generation[WAITERS];
byte noteFor = NOBODY, noteGeneration;
bool believes[WAITERS];      /* was told that it holds, and has not begun to give back */
bool waits[WAITERS];
bool recordsAreTrue = true;
byte faults;

/* scratch, never kept from one step to the next */
#ifdef SHORTEST
#define scratch        /* breadth first can't hide anything */
#else
#define scratch hidden
#endif
scratch byte held, ahead, firstFree, j;
scratch byte room, yes;

/* The last one is urgent: an earlier turn lies lower (LockSpace). */
#define turn(w) (tk[w] + ((w) == WAITERS - 1 -> 0 : 8))

#define others(s) ((hold[s] != NOBODY && hold[s] != me) -> 1 : 0)
#define limit (sound -> concurrency : 1)

/* Description.isAlive */
inline askAlive(number, yes) {
    yes = false;
    for (j : 0 .. WAITERS - 1) { yes = yes || (lk[j] != NONE && tk[j] == number && j != me) }
}

/* Member.sight: held, ahead, room, firstFree. */
inline look() {
    held = others(0);
#if SLOTS > 1
    held = held + others(1);
#endif
    ahead = 0;
    for (j : 0 .. WAITERS - 1) {
        if
        :: j != me && lk[j] == WRITE && turn(j) < turn(me) && !(past & (1 << j)) -> ahead = ahead | (1 << j)
        :: else
        fi
    }
    room = held < limit;
    firstFree = ((hold[0] == NOBODY) -> 0 : 1);
}

/* MemberPassing.stoppedOnes, by /proc; a grant rests on what is seen under the mutex. */
inline lookForStopped() {
    past = 0;
    for (j : 0 .. WAITERS - 1) {
        if
        :: stopped[j] && lk[j] == WRITE -> past = past | (1 << j)
        :: else
        fi
    }
}

/* Book.header: made anew from what lives and what the records know. */
inline openBook() {
    if
    :: !sound ->
        sound = true;
        concurrency = 1;
#if defined(A7) || defined(HALF_A7)
        last = 0;
        for (j : 0 .. WAITERS - 1) {
            if
            :: lk[j] != NONE && tk[j] > last -> last = tk[j]
            :: else
            fi
        }
        for (j : 0 .. SLOTS - 1) {
            if
            :: rec[j] > last + 1 -> last = rec[j] - 1
            :: else
            fi
        }
#ifdef HALF_A7
        note = 0;
#endif
#else
        /* A number of before the recovery is none of after it. */
        last = drawn;
#endif
    :: else
    fi
}

/* A write that fails: the disk is full, or broken. */
#define mayFail (faults < FAULTS)

/* The header; where it is refused, nobody knows that the number is drawn. */
inline writeLast() {
    if
    :: last = (last > tk[me] -> last : tk[me])
#ifndef HALF_A7
    :: mayFail && last < tk[me] -> faults++
#endif
    fi
}

inline lockMutex() { atomic { mutex == NOBODY -> mutex = me } }
inline unlockMutex() { mutex = NOBODY }

/* Gives up everything: LocalGrant.tryRelease, or Member.wait's end. */
inline unlockAll() {
    for (j : 0 .. SLOTS - 1) {
        if
        :: hold[j] == me -> hold[j] = NOBODY
        :: else
        fi
    }
    lk[me] = NONE;
    tk[me] = 0;
}

#define noteIsMine (note == tk[me] + 1)

inline hearNote() {
    assert(noteFor == me && noteGeneration == generation[me]);     /* a note ends only its ticket */
}

proctype Waiter(byte me) provided (runs[me]) {
    byte slot, past, round;
    bool alone;

next:
    if
    :: round == ROUNDS -> goto over
    :: else -> round++
    fi;

    /* Member.enter */
    lockMutex();
    atomic {
        generation[me]++;
        openBook();
        tk[me] = last + 1;
        do
        :: askAlive(tk[me], yes);
            if
            :: yes -> tk[me]++
#ifndef A7
            :: !yes && noteIsMine -> tk[me]++                  /* Numbering.next */
            :: !yes && !noteIsMine -> break
#else
            :: else -> break
#endif
            fi
        od;
        lookForStopped();
        look();
        drawn = (tk[me] > drawn -> tk[me] : drawn);
        assert(tk[me] < 8);
        if
        :: ahead == 0 && room -> slot = firstFree; hold[slot] = me; goto record
        :: else -> past = 0
        fi;
#ifndef DRAWN_TWICE
        writeLast();
#endif
        lk[me] = WRITE
    }
#ifdef DRAWN_TWICE
    writeLast();               /* as it was */
#endif
    atomic { waits[me] = true; unlockMutex() }

wait:
    /* Member.wait, Member.decide: looks without the mutex. */
    if
    :: noteIsMine -> hearNote(); goto leave
    :: atomic {
        assert(mutex != me);
        lookForStopped();
        look();
        if
        :: ahead == 0 && room -> goto claim
        :: ahead == 0 && !room && hold[0] != NOBODY && held == 1 -> past = 0
        :: else -> past = 0; goto wait
        fi
       }
    fi;
    /* The wake is the claim; or the time is up. */
    if
    :: atomic { hold[0] == NOBODY -> hold[0] = me; slot = 0 }
    :: goto wait
    fi;
    goto confirm;

claim:
    lockMutex();
    atomic {
        openBook();
        lookForStopped();                                  /* one of them may go on again */
        look();
        if
#ifndef NOTES_UNREAD
        :: noteIsMine -> hearNote(); past = 0; unlockMutex(); goto leave
        :: !noteIsMine && ahead == 0 && room ->
#else
        :: ahead == 0 && room ->
#endif
            slot = firstFree;
            assert(hold[slot] == NOBODY);
            hold[slot] = me;
            goto record
        :: else -> past = 0; unlockMutex(); goto wait
        fi
    }

confirm:
    /* Member.confirm, the slot in hand. */
#ifdef A9
    atomic { look(); alone = (held == 0 && ahead == 0) }
    lockMutex();
    atomic {
        openBook();
#else
    lockMutex();
    atomic {
        openBook();
        look();
        alone = (held == 0 && ahead == 0);
#endif
        if
#ifndef NOTES_UNREAD
        :: noteIsMine -> hearNote(); alone = false; unlockMutex(); goto leave
        :: !noteIsMine && alone && concurrency > 0 -> alone = false; goto record
#else
        :: alone && concurrency > 0 -> alone = false; goto record
#endif
        :: else -> alone = false; unlockMutex()
        fi
    }
    hold[0] = NOBODY;      /* giveBack */
    goto wait;

record:
    /* Member.record: the grant, under the mutex. */
    atomic {
        assert(mutex == me);
        assert(hold[slot] == me);
        held = others(0);
#if SLOTS > 1
        held = held + others(1);
#endif
        assert(held < limit);                              /* fewer than concurrency, as of the grant */
#ifndef HOLDS_ONLY
        for (j : 0 .. WAITERS - 1) {
            if
            :: j != me && lk[j] == WRITE && turn(j) < turn(me) ->
                assert(past & (1 << j))                    /* the order among those awake as of the grant */
            :: else
            fi
        }
#endif
        assert(!(noteIsMine && noteFor == me && noteGeneration == generation[me]));  /* taken out, not let in */
#ifndef DRAWN_TWICE
        writeLast();
#endif
        lk[me] = READ;
        past = 0
    }
#ifdef DRAWN_TWICE
    writeLast();
#endif
    if
    :: rec[slot] = tk[me] + 1
    :: mayFail -> atomic { faults++; recordsAreTrue = false }
    fi;
    atomic {
        unlockMutex();
        believes[me] = true;
        waits[me] = false;
        assert(hold[slot] == me);
        assert(!recordsAreTrue || rec[slot] == tk[me] + 1)
    }

    /* holds; the guardian looks for a note */
    atomic {
        if
        :: noteIsMine -> hearNote()
        :: else
        fi;
        assert(hold[slot] == me);                          /* believed held is locked */
        assert(!recordsAreTrue || rec[slot] == tk[me] + 1) /* and is told of */
        believes[me] = false
    }
#ifdef RECORD_LATE
    d_step { unlockAll() }
    atomic { rec[slot] = 0; slot = 0 }
#else
    rec[slot] = 0;
    d_step { unlockAll(); slot = 0 }
#endif
    goto next;

leave:
    /* taken out of the queue */
    atomic { unlockAll(); waits[me] = false; slot = 0 }
    goto next;

over:
    atomic { assert(mutex != me && lk[me] == NONE) }
}

/* semq set, pause, resume */
active proctype Changer() {
    byte me = NOBODY - 1, n;
    do
    :: n < CHANGES ->
        n++;
        lockMutex();
        d_step { openBook() }
        if
        :: concurrency = 1
#if SLOTS > 1
        :: concurrency = 2
#endif
#ifdef PAUSES
        :: concurrency = 0
#endif
        fi;
        unlockMutex()
    :: n == CHANGES -> break
    od
}

/* semq release: finds whom it means, then leaves a note under the mutex. */
active proctype Releaser() {
    byte me = NOBODY - 2, target, number, meant, n;
    do
    :: n < NOTES ->
        n++;
        if
        :: atomic { lk[0] != NONE -> target = 0 }
        :: atomic { lk[1] != NONE -> target = 1 }
#if WAITERS > 2
        :: atomic { lk[2] != NONE -> target = 2 }
#endif
        :: break
        fi;
        d_step { number = tk[target]; meant = generation[target]; if :: lk[target] == NONE -> number = 0 :: else fi }
        if
        :: number == 0 -> break
        :: else
        fi;
        lockMutex();
        d_step {
#ifdef UNWRITTEN
            askAlive(number, yes);
#else
            /* Administration.standing */
            yes = (lk[target] != NONE && tk[target] == number && generation[target] == meant);
#endif
            if
            :: yes && sound -> note = number + 1; noteFor = target; noteGeneration = meant
            :: else
            fi;
            target = 0; number = 0; meant = 0;
            unlockMutex()
        }
    :: n == NOTES -> break
    od
}

/* KILL, STOP and CONT of a waiter, and a header that is wiped. */
active proctype Fault() {
    byte me, victim;
    do
    :: faults < FAULTS ->
        select(victim : 0 .. WAITERS - 1);
        if
        :: d_step {
            runs[victim] -> faults++;
            runs[victim] = false;
            me = victim;
            if :: mutex == me -> mutex = NOBODY :: else fi;
            /* Its record stays, and tells of nobody. */
            for (j : 0 .. SLOTS - 1) { if :: hold[j] == me && rec[j] != tk[me] + 1 -> recordsAreTrue = false :: else fi }
            unlockAll();
            believes[me] = false;
            waits[me] = false;
            me = 0; victim = 0
           }
        :: d_step { runs[victim] -> faults++; runs[victim] = false; stopped[victim] = true }
           d_step { stopped[victim] = false; runs[victim] = true; victim = 0 }
        :: d_step { mutex == NOBODY -> faults++; sound = false }
        :: break
        fi
    :: faults >= FAULTS -> break
    od
}

init {
    byte i;
    atomic {
        for (i : 0 .. WAITERS - 1) { runs[i] = true }
        for (i : 0 .. WAITERS - 1) { run Waiter(i) }
    }
}

/* Whoever waits and lives is granted, or is taken out. */
#define somebodyWaits (waits[0] && runs[0])
#ifdef LIVENESS
ltl served { [](somebodyWaits -> <>(!somebodyWaits)) }
#endif
