--- The store: everything that has to outlive the server, in one folder. Tables are in SQLite, the
--- zips of functions and layers beside it, named by their content (blobs.lua). A transaction is
--- complete or has not happened, also after `kill -9`; a zip is there before the row that names it.
---
--- One server at a time has the folder. It holds a lock that the kernel takes back when the process
--- ends, however it ends, so there is never a stale one.

local blobs = require "lambdapool.serve.blobs"
local files = require "lambdapool.files"
local sqlite = require "lambdapool.sqlite"

-- Zips that nothing needs any more stay for so long: what runs with them may go on until then, 15
-- minutes at most, besides what it waited for. They are looked for that often.
local KEEP_SECONDS = 3600
local TIDY_SECONDS = 600

-- What this version writes. A folder with a higher number is left alone.
local FORMAT = 1

-- Version 0 of a function is $LATEST. Configurations and the like are JSON: they are read and
-- written as a whole, and nothing is looked up by what is in them.
local SCHEMA = [[
CREATE TABLE functions (
  region TEXT NOT NULL, name TEXT NOT NULL,
  next_version INTEGER NOT NULL DEFAULT 1,
  reserved INTEGER,
  tags TEXT NOT NULL DEFAULT '{}',
  PRIMARY KEY (region, name)
) WITHOUT ROWID;

CREATE TABLE versions (
  region TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
  configuration TEXT NOT NULL,
  layers TEXT NOT NULL,
  code_hash TEXT NOT NULL, code_digest TEXT NOT NULL,
  code_size INTEGER NOT NULL, unzipped INTEGER NOT NULL,
  revision TEXT NOT NULL,
  fingerprint TEXT,
  modified REAL NOT NULL,
  pending_until REAL NOT NULL DEFAULT 0,
  updating_until REAL NOT NULL DEFAULT 0,
  PRIMARY KEY (region, name, version),
  FOREIGN KEY (region, name) REFERENCES functions ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE aliases (
  region TEXT NOT NULL, name TEXT NOT NULL, alias TEXT NOT NULL,
  version INTEGER NOT NULL,
  weights TEXT,
  description TEXT NOT NULL,
  revision TEXT NOT NULL,
  PRIMARY KEY (region, name, alias),
  FOREIGN KEY (region, name) REFERENCES functions ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE policies (
  region TEXT NOT NULL, name TEXT NOT NULL, qualifier TEXT NOT NULL,
  statements TEXT NOT NULL,
  revision TEXT NOT NULL,
  PRIMARY KEY (region, name, qualifier),
  FOREIGN KEY (region, name) REFERENCES functions ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE urls (
  region TEXT NOT NULL, name TEXT NOT NULL, qualifier TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  configuration TEXT NOT NULL,
  created REAL NOT NULL, modified REAL NOT NULL,
  PRIMARY KEY (region, name, qualifier),
  FOREIGN KEY (region, name) REFERENCES functions ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE event_configs (
  region TEXT NOT NULL, name TEXT NOT NULL, qualifier TEXT NOT NULL,
  retries INTEGER, age INTEGER, on_success TEXT, on_failure TEXT,
  modified REAL NOT NULL,
  PRIMARY KEY (region, name, qualifier),
  FOREIGN KEY (region, name) REFERENCES functions ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE provisioned (
  region TEXT NOT NULL, name TEXT NOT NULL, qualifier TEXT NOT NULL,
  executions INTEGER NOT NULL,
  modified REAL NOT NULL,
  PRIMARY KEY (region, name, qualifier),
  FOREIGN KEY (region, name) REFERENCES functions ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE layer_names (
  region TEXT NOT NULL, name TEXT NOT NULL,
  next_version INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (region, name)
) WITHOUT ROWID;

CREATE TABLE layers (
  region TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
  information TEXT NOT NULL,
  code_hash TEXT NOT NULL, code_digest TEXT NOT NULL,
  code_size INTEGER NOT NULL, unzipped INTEGER NOT NULL,
  statements TEXT, revision TEXT,
  created REAL NOT NULL,
  PRIMARY KEY (region, name, version),
  FOREIGN KEY (region, name) REFERENCES layer_names ON DELETE CASCADE
) WITHOUT ROWID;
]]

---@class lambdapool.serve.Store
---@field db table see lambdapool.sqlite
---@field blobs table see lambdapool.serve.blobs
---@field dir string
local methods = {}
local mt = { __name = "lambdapool.serve.Store", __index = methods }

local function process_id()
  local file <close> = io.open "/proc/self/stat"
  return file and file:read "n"
end

local function is_busy(problem)
  return type(problem) == "table" and (problem.code == "BUSY" or problem.code == "LOCKED")
end

-- The lock is a transaction that stays open in a database of its own; the number in it is for the
-- message only.
local function take_lock(lock)
  lock:run "CREATE TABLE IF NOT EXISTS owner (process INTEGER)"
  lock:transaction(function()
    lock:run "DELETE FROM owner"
    lock:run("INSERT INTO owner VALUES (?)", process_id())
  end)
  lock:run "BEGIN IMMEDIATE"
end

-- SQLite only says that it cannot open a file; the system knows why.
local function unusable(dir, message)
  local file <close>, reason = io.open(dir .. "/lock", "a")
  return file and message or
    ("cannot write %s\n  choose another folder with `--dir`"):format(reason)
end

-- `who` is known once the lock could be read.
local function in_use(dir, who)
  return nil, ("the folder %s is in use by another server%s\n" ..
    "  stop it, or choose another folder with `--dir`"):format(dir, who), "busy"
end

local function lock_folder(dir)
  local lock, message = sqlite.open(dir .. "/lock")
  if not lock and message:find "database is locked$" then
    return in_use(dir, "") -- somebody opens or closes it right now
  elseif not lock then
    return nil, unusable(dir, message)
  end
  local ok, problem = pcall(take_lock, lock)
  if ok then
    return lock
  elseif not is_busy(problem) then
    error(problem, 0)
  end
  local known, owner = pcall(lock.row, lock, "SELECT process FROM owner")
  lock:close()
  return in_use(dir, known and owner and (" (process %d)"):format(owner.process) or "")
end

local function prepare(db, dir)
  local format = db:row "PRAGMA user_version".user_version
  if format > FORMAT then
    return nil, ("the folder %s was written by a newer version of this program"):format(dir)
  elseif format == 0 then
    db:transaction(function()
      db:run(SCHEMA)
      db:run "CREATE TABLE subjects (subject TEXT PRIMARY KEY, steps INTEGER NOT NULL)"
      db:run("PRAGMA user_version = " .. FORMAT)
    end)
  end
  return true
end

--- Brings the tables of one subject up to date: runs those of `steps`, texts of SQL, that this
--- folder has not seen, in order. Steps are only ever added at the end.
---@param subject string
---@param steps string[]
function methods:migrate(subject, steps)
  local db = self.db
  local row = db:row("SELECT steps FROM subjects WHERE subject = ?", subject)
  local done = row and row.steps or 0
  if done < #steps then
    db:transaction(function()
      for i = done + 1, #steps do
        db:run(steps[i])
      end
      db:run("INSERT OR REPLACE INTO subjects VALUES (?, ?)", subject, #steps)
    end)
  end
end

--- Notes that a function is not what it was. See `settle`.
function methods:touch(region, name)
  self.touched[#self.touched + 1] = { region, name }
end

--- What was noted by `touch` is committed: nothing of it is remembered any more.
---@param environments { forget: function }?
function methods:settle(environments)
  local touched = self.touched
  self.touched = {}
  for _, place in ipairs(touched) do
    self.records[place[1]] = nil
    self.urls = {}
    self.reserved[place[1]] = nil
    if environments then
      environments:forget(place[1], place[2])
    end
  end
end

--- The zips that something still needs, as a set of hashes.
---@return table<string, true>
function methods:needed()
  local keep = {}
  local rows = self.db:rows [[
    SELECT code_hash AS hash FROM versions UNION SELECT code_hash FROM layers
    UNION SELECT json_extract(value, '$.hash') FROM versions, json_each(versions.layers)]]
  for _, row in ipairs(rows) do
    keep[row.hash] = true
  end
  return keep
end

--- Notes that a zip is needed.
---@param hash string
---@param now number
function methods:use(hash, now)
  self.used[hash] = now
end

--- Removes the zips that nothing has needed for long, when it is time to look again. To be called
--- before anything changes, so that what is given up by the change counts as needed until now.
---@param now number
function methods:tidy(now)
  if now < self.next_tidy then
    return
  end
  self.next_tidy = now + TIDY_SECONDS
  for hash in pairs(self:needed()) do
    self.used[hash] = now
  end
  local keep = {}
  for hash, time in pairs(self.used) do
    if time > now - KEEP_SECONDS then
      keep[hash] = time
    end
  end
  self.used = keep
  self.blobs:sweep(keep)
end

function methods:close()
  if self.lock then
    self.db:close()
    self.lock:close()
    self.lock = nil
  end
end

mt.__close = methods.close

local function new(dir, lock, db, zips)
  return setmetatable({
    dir = dir, lock = lock, db = db, blobs = zips,
    -- What resolve.lua, urls_config.lua and concurrency.lua remember, by region or by id.
    records = {}, urls = {}, reserved = {}, replaced = {}, touched = {},
    -- When each zip was needed last, as far as is known.
    used = {}, next_tidy = 0,
  }, mt)
end

local function open_database(dir)
  local db, message = sqlite.open(dir .. "/lambda.db")
  if not db then
    return nil, message
  end
  local ok, ready, problem = pcall(prepare, db, dir)
  if ok and ready then
    return db
  end
  db:close()
  return nil, tostring(ok and problem or ready)
end

--- Opens the store in a folder, which is made, for its owner only, when there is none.
---@param dir string
---@return lambdapool.serve.Store?
---@return string? message
---@return "busy"? code another server has the folder
local function open(dir)
  local made, message = files.make(dir)
  if not made then
    return nil, ("cannot make the folder %s"):format(message)
  end
  local lock, db, zips, code
  lock, message, code = lock_folder(dir)
  if not lock then
    return nil, message, code
  end
  db, message = open_database(dir)
  if db then
    zips, message = blobs.open(dir .. "/blobs")
  end
  if not zips then
    if db then
      db:close()
    end
    lock:close()
    return nil, message
  end
  local store = new(dir, lock, db, zips)
  zips:sweep(store:needed())
  return store
end

return { open = open }
