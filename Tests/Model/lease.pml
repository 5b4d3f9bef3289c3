/* The lease: a client whose command runs here, its agent that holds the slot there, and a rival behind it.
 *
 * ClientLease.swift, LeasedConversation.swift, RemoteGrant.swift, AgentSession.swift, AgentLease.swift,
 * AgentMember.swift, AgentWaiting.swift, Rendezvous.swift, Tombstones.swift and Book.swift. A tick is a quarter of the lease.
 * What is sent on a connection comes late, or never: each kind of message has a cell, and messages of different
 * kinds may pass each other, which is more than a connection does. What is past its hour (a command that must be
 * killed) stops the clock until it is done; only a client whose machine sleeps may be late.
 *
 *   CONNECTIONS FAULTS                     bounds
 *   A5 STAMP LATE OLDLINK TAKE KEPT        one fault put back in
 *   CUT=ticks of eight                     one cut as long, a living agent: the command survives, or not
 */
#ifndef CONNECTIONS
#define CONNECTIONS 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif

#ifdef CUT
#define LENGTH 8
#define DOUBTFUL 2
#define SILENT 4
#define ENDING 5
#else
#define LENGTH 4
#define DOUBTFUL 1
#define SILENT 2
#define ENDING 2
#endif
#ifdef LATE
#define KILLING LENGTH
#else
#define KILLING (LENGTH * 3 / 4)
#endif
#define LONG LENGTH            /* any age from here on is one */

mtype = { nobody, agents, rivals };                /* who has the slot's lock */
mtype = { free, held, dead, foreign, bad };        /* its record; foreign: a local holder's */
mtype = { waiting, running, ended, gone };         /* the client */
mtype = { queued, aside, offering, holding, over, killed };   /* the agent */

/* the queue file of the host */
mtype lock = nobody, record = free;
byte tombstone;              /* how long the slot is kept still */
byte expires;                /* what the record says that is left of the lease */
byte holdoff;
bool sound = true, remote = true, writable = true;

/* the client */
mtype client = waiting;
byte proven;                 /* the age of ClientLease.proven */
byte mine;                   /* its newest connection */
bool asleep, woken;          /* woken: in this very tick; whatever is due is done before the next */
#define commandRuns (client == running)
#define lives (agent != over && agent != killed)

/* the agent */
mtype agent = queued;
byte heard;                  /* the age of AgentLease.heard */
byte theirs;                 /* the connection that is the client's */
byte asked, confirmed;
bool givenBack;              /* an offer that was confirmed came to nothing, once */

/* on the way: 0 is nothing; ages are one more than they are */
byte beat[CONNECTIONS], echo[CONNECTIONS], ready[CONNECTIONS], take[CONNECTIONS];
bool granted[CONNECTIONS], goodbye[CONNECTIONS], resume[CONNECTIONS];

byte faults;
byte frees;

#ifdef CUT
byte cut;                    /* for how long still */
bool wasCut;
#define isCut (cut > 0)
#define mayConnect wasCut
#define isRead(c) (echo[c] == 0)
/* What is sent arrives within a tick, and heartbeats are sent. */
#define late (!isCut && lives && client != ended && client != gone && (beat[mine] > 1 || echo[mine] > 1 || beat[theirs] > 1 || echo[theirs] > 1 || beat[mine] + echo[mine] == 0))
#else
#define isCut false
#define isRead(c) true        /* else an answer that comes late may get lost behind a newer one */
#define mayConnect true    /* also where nothing is wrong */
#define late false
#endif

inline recordLease() {
#ifdef STAMP
    if
    :: agent == holding && writable -> expires = LENGTH
    :: else
    fi
#else
    skip        /* for people: nothing rests on it */
#endif
}

/* AgentSession.hear */
inline hear(c) {
    assert(c == theirs);                            /* a superseded connection renews nothing */
    heard = 0;
    recordLease()
}

inline freeSlot() {
    assert(lock == agents && frees == 0);           /* frees, once */
    frees++;
    record = free;
    lock = nobody
}

active proctype Client() provided (!asleep) {
    byte c;
    do
    /* heartbeats, on the newest connection; what was proven is the age of the newest answered */
    :: client != ended && client != gone && beat[mine] == 0 -> beat[mine] = 1
    :: atomic { client != gone && echo[0] > 0 && !isCut -> proven = (echo[0] - 1 < proven -> echo[0] - 1 : proven); echo[0] = 0 }
#if CONNECTIONS > 1
    :: atomic { client != gone && echo[1] > 0 && !isCut -> proven = (echo[1] - 1 < proven -> echo[1] - 1 : proven); echo[1] = 0 }
    /* connects anew, and resumes: by the rendezvous */
    :: atomic { mine < CONNECTIONS - 1 && client != gone && mayConnect -> mine++; resume[mine] = true; beat[mine] = 1 }
#endif
    /* RemoteMember.take: ready, granted */
    :: atomic { ready[mine] > 0 && client == waiting ->
        if
        :: proven < DOUBTFUL -> take[mine] = ready[mine]
        :: else
        fi;
        ready[mine] = 0
       }
    :: atomic { granted[mine] && client == waiting ->
        granted[mine] = false;
        if
        :: proven < ENDING -> client = running       /* Permits.areTooLate, once more before exec */
        :: else -> client = ended
        fi
       }
    /* the command ends, or is ended: at its hour at the latest */
    :: atomic { client == running -> client = ended }
    :: atomic { client == waiting -> client = ended }
    :: atomic { client == ended ->
        for (c : 0 .. CONNECTIONS - 1) { beat[c] = 0; echo[c] = 0; ready[c] = 0; take[c] = 0; granted[c] = false }
        c = 0;
        proven = LONG;
        goodbye[mine] = true;
        client = gone
       }
    od
}

#define urgent (!asleep && commandRuns && proven >= KILLING)

active proctype Clock() {
    byte c;
    do
    :: atomic { !urgent && !late ->
        /* while it works, nobody else does */
        assert(!(commandRuns && !asleep && lock == rivals));
        proven = (proven < LONG -> proven + 1 : LONG);
        heard = (heard < LONG -> heard + 1 : LONG);
        tombstone = (tombstone > 0 -> tombstone - 1 : 0);
#ifdef STAMP
        expires = (expires > 0 -> expires - 1 : 0);
#endif
        holdoff = (holdoff > 0 -> holdoff - 1 : 0);
        for (c : 0 .. CONNECTIONS - 1) {
            beat[c] = ((beat[c] > 0 && beat[c] <= LONG) -> beat[c] + 1 : beat[c]);
            echo[c] = ((echo[c] > 0 && echo[c] <= LONG) -> echo[c] + 1 : echo[c])
        }
        c = 0;
#ifdef CUT
        cut = (cut > 0 -> cut - 1 : 0);
        assert(!commandRuns || proven < ENDING);    /* a short cut: the command survives */
#endif
        woken = false
       }
    od
}

#define stands (agent == queued || agent == aside || agent == offering)
#ifdef OLDLINK
#define isHeard(c) (lives && !isCut && c <= theirs)
#else
#define isHeard(c) (lives && !isCut && c == theirs)
#endif

inline listen(c) {
    if
    :: beat[c] > 0 && !resume[c] && isRead(c) ->
        hear(c);
        /* the answer is sent when it is recorded */
        echo[c] = beat[c];
        beat[c] = 0
    :: take[c] > 0 -> hear(c); confirmed = (confirmed > take[c] -> confirmed : take[c]); take[c] = 0
    :: goodbye[c] ->
        goodbye[c] = false;
        if
        :: agent == holding -> freeSlot()
        :: agent == offering -> lock = nobody
        :: else
        fi;
        agent = over
    fi
}

/* AgentSession.resume: the newest is the client's. */
inline join(c) {
    resume[c] = false;
    theirs = c;
    hear(c);
    echo[c] = beat[c];
    beat[c] = 0;
    granted[c] = (agent == holding -> true : granted[c])     /* standing messages */
}

active proctype Agent() {
    do
    :: atomic { isHeard(0) && ((beat[0] > 0 && !resume[0] && isRead(0)) || take[0] > 0 || goodbye[0]) -> listen(0) }
#if CONNECTIONS > 1
    :: atomic { isHeard(1) && ((beat[1] > 0 && !resume[1] && isRead(1)) || take[1] > 0 || goodbye[1]) -> listen(1) }
    :: atomic { lives && !isCut && resume[1] -> join(1) }
#endif
    /* Member.wait: stands aside, and in line again */
    :: atomic { agent == queued && heard >= SILENT -> agent = aside }
    :: atomic { agent == aside && heard < SILENT -> agent = queued }
    /* locks the slot, and asks (AgentWaiting.isConfirmed) */
    :: atomic { agent == queued && lock == nobody && sound && holdoff == 0 && record == free && asked < 2 ->
        lock = agents;
        agent = offering;
        asked++;
        ready[theirs] = asked
       }
    :: atomic { agent == offering && confirmed >= asked && !givenBack -> givenBack = true; lock = nobody; agent = queued }
#ifdef TAKE
    :: atomic { agent == offering && confirmed > 0 && writable ->
#else
    :: atomic { agent == offering && confirmed >= asked && writable ->
#endif
        assert(confirmed == asked);                 /* no grant without the newest take */
        agent = holding;
        record = held;
        recordLease();
        granted[theirs] = true
       }
    /* no answer within its patience */
    :: atomic { agent == offering && confirmed < asked -> lock = nobody; agent = aside }
    /* AgentSession.keep: the lease is over */
    :: atomic { lives && heard >= LENGTH ->
        if
        :: agent == holding -> freeSlot()
        :: agent == offering -> lock = nobody
        :: else
        fi;
        agent = over
       }
    od
}

inline takeSlot() {
    lock = rivals;
    record = foreign;
    assert(asleep || woken || !commandRuns)                /* granted beside a command */
}

/* One who waits on the host itself. */
active proctype Rival() {
    do
    :: atomic { lock == nobody ->
        if
        :: !sound -> sound = true; remote = true; holdoff = LENGTH       /* Book.header: the mark is there */
        :: else
        fi;
        if
        :: remote && record == bad -> record = free; holdoff = LENGTH     /* Tombstones: mend */
        :: remote && record == held ->
#ifdef STAMP
            tombstone = expires;
#else
            tombstone = LENGTH;
#endif
            record = dead                                                 /* Tombstones: stamp */
        :: else
        fi;
        if
        :: !remote && record != free && record != foreign -> remote = true  /* Member.record: an older header */
#ifdef KEPT
        :: remote && record == dead && holdoff == 0 -> takeSlot(); goto done
#else
        :: remote && record == dead && tombstone == 0 && holdoff == 0 -> takeSlot(); goto done
#endif
        :: record == free && holdoff == 0 -> takeSlot(); goto done
        :: else
        fi
       }
    od;
done:
    skip
}

/* Another user's process, at the dead agent's name. */
#if defined(A5) && CONNECTIONS > 1
active proctype Impostor() {
    byte c = 1;
    do
    :: atomic { agent == killed && resume[c] -> resume[c] = false; echo[c] = beat[c]; beat[c] = 0 }
    :: atomic { agent == killed && !resume[c] && beat[c] > 0 -> echo[c] = beat[c]; beat[c] = 0 }
    od
}
#endif

active proctype Fault() {
    do
#ifdef CUT
    :: atomic { !wasCut && commandRuns -> wasCut = true; cut = CUT }
#endif
    :: atomic { faults < FAULTS && lives -> faults++; agent = killed; if :: lock == agents -> lock = nobody :: else fi }
#ifdef STAMP
    :: atomic { faults < FAULTS && writable -> faults++; writable = false }
#endif
    :: atomic { faults < FAULTS && sound -> faults++; sound = false }
    :: atomic { faults < FAULTS && remote -> faults++; remote = false }
    :: atomic { faults < FAULTS && record == held -> faults++; record = bad }
    :: atomic { faults < FAULTS && !asleep -> faults++; asleep = true }
    :: atomic { asleep -> asleep = false; woken = true }
    od
}

/* A goodbye or an expiry frees. */
#ifdef LIVENESS
ltl freed { []((agent == holding && client == gone) -> <>(agent != holding)) }
#endif
