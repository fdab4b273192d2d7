BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'gpualloc-state','m001_first_tables','2026-11-21 06:50:31.945037+00:00');
CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        at_s REAL NOT NULL,
        kind TEXT NOT NULL,
        actor TEXT NOT NULL,
        workload TEXT,
        node TEXT,
        detail TEXT NOT NULL,
        previous_hash TEXT NOT NULL,
        hash TEXT NOT NULL
    );
INSERT INTO "audit" VALUES(1,1000.0,'submit','ann','w00000001',NULL,'{"gpus":1}','0000000000000000000000000000000000000000000000000000000000000000','f6b5803e2b87c190fd64bff43bf0830dd13124b8101f8c6d06ff7c3c9216bb5a');
INSERT INTO "audit" VALUES(2,1002.0,'start','ann','w00000001','n1','{"pid":7}','f6b5803e2b87c190fd64bff43bf0830dd13124b8101f8c6d06ff7c3c9216bb5a','561fa15a1477d5d555a27c91277ec3a53cca3c73101b6ff3e1c4ffbb1571fedb');
CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID
    ;
INSERT INTO "meta" VALUES('audit_hash','561fa15a1477d5d555a27c91277ec3a53cca3c73101b6ff3e1c4ffbb1571fedb');
INSERT INTO "meta" VALUES('audit_seq','2');
INSERT INTO "meta" VALUES('controller','80e7fb2574d1be8f6a46ee6d65a51328');
INSERT INTO "meta" VALUES('fence','1');
CREATE TABLE plan (
        id TEXT PRIMARY KEY,
        created_at_s REAL NOT NULL,
        document TEXT NOT NULL
    );
INSERT INTO "plan" VALUES('p00000001',1000.0,'{"id":"p00000001","created_at_s":1000.0,"policy":"first-fit","policy_version":"1","seed":0,"simulated":false,"base":{"n1.boot_id":"b"},"base_digest":"d","steps":[{"seq":1,"kind":"start","node":"n1","workload":"w00000001","target":"GPU 0","reason":"waiting work fits","detail":"it fits","allocation":{"workload":"w00000001","node":"n1","grants":[{"device":"GPU-1","share":"exclusive","mig_instance":null,"fraction":1.0,"memory_mib":null}],"cpus":null,"cpuset":null,"memory_mib":1024,"pids":null},"attempt":1,"revision":1,"needs":[],"blast_radius":{"workloads":[],"users":[],"resets":[]}}],"rejections":[]}');
CREATE TABLE rebalance (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        at_s REAL NOT NULL,
        summary TEXT NOT NULL
    );
INSERT INTO "rebalance" VALUES(1,1003.0,'started 1');
CREATE TABLE run (
        id TEXT PRIMARY KEY,
        plan TEXT NOT NULL UNIQUE REFERENCES plan (id),
        fence INTEGER NOT NULL,
        state TEXT NOT NULL,
        actor TEXT NOT NULL,
        started_at_s REAL NOT NULL,
        ended_at_s REAL
    );
INSERT INTO "run" VALUES('r00000001','p00000001',1,'open','ann',1001.0,NULL);
CREATE TABLE step (
        run TEXT NOT NULL REFERENCES run (id),
        seq INTEGER NOT NULL,
        state TEXT NOT NULL,
        result TEXT NOT NULL,
        error TEXT,
        document TEXT NOT NULL,
        PRIMARY KEY (run, seq)
    ) WITHOUT ROWID
    ;
INSERT INTO "step" VALUES('r00000001',1,'done','{"pid":7}',NULL,'{"seq":1,"kind":"start","node":"n1","workload":"w00000001","target":"GPU 0","reason":"waiting work fits","detail":"it fits","allocation":{"workload":"w00000001","node":"n1","grants":[{"device":"GPU-1","share":"exclusive","mig_instance":null,"fraction":1.0,"memory_mib":null}],"cpus":null,"cpuset":null,"memory_mib":1024,"pids":null},"attempt":1,"revision":1,"needs":[],"blast_radius":{"workloads":[],"users":[],"resets":[]}}');
CREATE TABLE workload (
        id TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        owner TEXT NOT NULL,
        node TEXT,
        submitted_at_s REAL NOT NULL,
        started_at_s REAL,
        ended_at_s REAL,
        document TEXT NOT NULL
    );
INSERT INTO "workload" VALUES('w00000001',2,'träin','running','ann','n1',1000.0,NULL,NULL,'{"id":"w00000001","name":"tr\u00e4in","owner":"ann","request":{"command":["true"],"gpus":1,"gpu_memory_mib":null,"gpu_model":null,"fraction":null,"mig_profile":null,"cpus":null,"cpuset":null,"memory_mib":null,"pids":null,"priority":0,"nodes":[],"cwd":null,"env":[["TOKEN","hunter2"]],"at_most_s":null},"state":"running","submitted_at_s":1000.0,"revision":2,"attempt":0,"reason":null,"allocation":{"workload":"w00000001","node":"n1","grants":[{"device":"GPU-1","share":"exclusive","mig_instance":null,"fraction":1.0,"memory_mib":null}],"cpus":null,"cpuset":null,"memory_mib":1024,"pids":null},"pid":7,"started_at_s":null,"ended_at_s":null,"exit_code":null,"held_by":{"gpu":null,"cpu":null,"memory":null,"pids":null}}');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX workload_state ON workload (state, ended_at_s);
CREATE INDEX workload_name ON workload (name);
CREATE INDEX plan_created ON plan (created_at_s);
CREATE INDEX run_open ON run (started_at_s) WHERE state = 'open';
CREATE INDEX audit_workload ON audit (workload, seq);
CREATE INDEX audit_time ON audit (at_s);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit
    WHEN NEW.seq <= (SELECT max(seq) FROM audit)
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
COMMIT;
PRAGMA user_version = 1;
