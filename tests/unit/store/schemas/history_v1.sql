BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'gpualloc-history','m001_series_and_samples','2026-11-21 06:50:31.961461+00:00');
CREATE TABLE sample (
            series INTEGER NOT NULL,
            at_s INTEGER NOT NULL,
            gpu_utilization_ratio INTEGER,
            memory_utilization_ratio INTEGER,
            gpu_memory_used_mib INTEGER,
            gpu_memory_total_mib INTEGER,
            power_w INTEGER,
            temperature_c INTEGER,
            sm_clock_mhz INTEGER,
            cpu_utilization_ratio INTEGER,
            memory_available_mib INTEGER,
            disk_used_mib INTEGER,
            network_rx_bytes_per_s INTEGER,
            network_tx_bytes_per_s INTEGER,
            PRIMARY KEY (series, at_s)
        ) WITHOUT ROWID
        ;
INSERT INTO "sample" VALUES(1,1000,NULL,NULL,NULL,NULL,301250,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "sample" VALUES(2,1000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,5,NULL,NULL);
CREATE TABLE series (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            node TEXT NOT NULL,
            key TEXT NOT NULL,
            UNIQUE (kind, node, key)
        );
INSERT INTO "series" VALUES(1,'device','n1','GPU-1');
INSERT INTO "series" VALUES(2,'node','n1','');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
COMMIT;
PRAGMA user_version = 1;
