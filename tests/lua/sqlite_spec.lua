--- SQLite: values, statements, transactions, and what goes wrong.
local sqlite = require "lambdapool.sqlite"

local folder, db

local function run(command)
  local pipe <close> = assert(io.popen(command))
  local output = pipe:read "a"
  assert(pipe:close(), command)
  return output
end

before_each(function()
  folder = run "mktemp -d":gsub("\n", "")
  db = assert(sqlite.open(folder .. "/x.db"))
end)

after_each(function()
  db:close()
  run("rm -rf " .. folder)
end)

-- Calls f and returns the error that it must raise.
local function failure(f, ...)
  local ok, problem = pcall(f, ...)
  assert.is_false(ok)
  return problem
end

local function count()
  return db:row("SELECT count(*) AS n FROM t").n
end

describe("values", function()
  local function echo(value)
    return db:row("SELECT ? AS value", value).value
  end

  it("come back as they were", function()
    local bytes = {}
    for i = 0, 255 do
      bytes[#bytes + 1] = string.char(i)
    end
    for _, value in ipairs { 0, 1, -1, math.maxinteger, math.mininteger, 0.5, -0.25, 1e300, 1 / 0,
      "", "x", "a\0b", "\0", table.concat(bytes), ("long"):rep(100000), "ሴ" } do
      local result = echo(value)
      assert.equal(value, result)
      assert.equal(math.type(value), math.type(result))
    end
    assert.equal("float", math.type(echo(2.0)))
    assert.is_nil(echo(nil))
    assert.equal(1, echo(true))
    assert.equal(0, echo(false))
  end)

  it("survive in a file, also blobs", function()
    db:run "CREATE TABLE t (a, b BLOB, c TEXT)"
    db:run("INSERT INTO t VALUES (?, CAST(? AS BLOB), ?)", 1 << 40, "\0x\0", "\0y")
    db:run("INSERT INTO t VALUES (x'00ff00', NULL, NULL)")
    db:close()
    db = assert(sqlite.open(folder .. "/x.db"))
    assert.same({ { a = 1 << 40, b = "\0x\0", c = "\0y" }, { a = "\0\255\0" } },
      db:rows "SELECT * FROM t ORDER BY rowid")
    assert.equal("blob", db:row("SELECT typeof(b) AS type FROM t").type)
    assert.equal(3, db:row("SELECT length(b) AS n FROM t").n)
  end)

  it("must be as many as the question marks, and of these types", function()
    assert.error_matches(function()
      db:row("SELECT ?, ?", 1)
    end, "the statement takes 2 values, not 1")
    assert.error_matches(function()
      db:run("SELECT 1", nil)
    end, "the statement takes 0 values, not 1")
    for _, value in ipairs { {}, print, coroutine.create(print), io.stdout } do
      assert.error_matches(function()
        db:rows("SELECT ?", value)
      end, "must be nil, a boolean, a number or a string")
    end
  end)

  it("do not stay bound", function()
    assert.equal("x", echo "x")
    assert.is_nil(echo(nil))
  end)
end)

describe("statements", function()
  before_each(function()
    db:run "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)"
  end)

  it("say how many rows they changed", function()
    assert.equal(1, db:run("INSERT INTO t (name) VALUES (?)", "a"))
    assert.equal(1, db:last_id())
    assert.equal(2, db:run("INSERT INTO t (name) VALUES (?), (?)", "b", "c"))
    assert.equal(3, db:last_id())
    assert.equal(0, db:run "CREATE TABLE u (x)")
    assert.equal(0, db:run "SELECT * FROM t")
    assert.equal(3, db:run "UPDATE t SET name = name || 'x'")
    assert.equal(0, db:run("DELETE FROM t WHERE name = ?", "nobody"))
    assert.equal(3, db:run "DELETE FROM t")
  end)

  it("give rows in order, and the first of them", function()
    assert.same({}, db:rows "SELECT * FROM t")
    assert.is_nil(db:row "SELECT * FROM t")
    for i = 1, 1000 do
      db:run("INSERT INTO t VALUES (?, ?)", i, "n" .. i)
    end
    local rows = db:rows "SELECT id, name AS label FROM t ORDER BY id DESC"
    assert.equal(1000, #rows)
    assert.same({ id = 1000, label = "n1000" }, rows[1])
    assert.same({ id = 1, label = "n1" }, rows[1000])
    assert.same({ id = 7, name = "n7" }, db:row("SELECT * FROM t WHERE id >= ? ORDER BY id", 7))
    db:run "DELETE FROM t" -- the rest of the query above holds nothing back
  end)

  it("can be several in one text without values", function()
    db:run "CREATE TABLE a (x); CREATE TABLE b (x); -- a comment\nINSERT INTO a VALUES (1);\n"
    assert.same({ x = 1 }, db:row "SELECT x FROM a;\n")
    assert.error_matches(function()
      db:run("INSERT INTO a VALUES (?); INSERT INTO b VALUES (?)", 1, 2)
    end, "must be one statement when there are values")
    for _, text in ipairs { "SELECT 1; SELECT 2", "", "-- nothing" } do
      assert.error_matches(function()
        db:rows(text)
      end, "must be one statement")
    end
    assert.equal(0, db:run "-- nothing")
    assert.error_matches(function()
      db:run "SELECT 1\0"
    end, "is no SQL statement")
  end)

  it("are forgotten when there are too many", function()
    for i = 1, 1000 do
      assert.equal(i, db:row("SELECT " .. i .. " AS x").x)
    end
    assert.equal(7, db:row("SELECT 7 AS x").x)
  end)

  it("follow a table that changes", function()
    assert.same({}, db:rows "SELECT * FROM t")
    db:run "ALTER TABLE t ADD COLUMN more DEFAULT 5"
    db:run("INSERT INTO t (name) VALUES (?)", "x")
    assert.same({ { id = 1, name = "x", more = 5 } }, db:rows "SELECT * FROM t")
  end)

  it("can be run by a finaliser while rows are made", function()
    db:run("INSERT INTO t (name) VALUES (?)", "x")
    local query = "SELECT * FROM t, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 " ..
      "FROM n WHERE i < 2000) SELECT i FROM n)"
    local ran = 0
    local function finalise()
      ran = ran + db:row("SELECT 1 AS one").one
      pcall(db.rows, db, query) -- "the statement is running"
    end
    for _ = 1, 20 do
      setmetatable({}, { __gc = finalise })
    end
    assert.equal(2000, #db:rows(query))
    collectgarbage()
    assert.is_true(ran > 0)
    assert.equal(2000, #db:rows(query))
  end)
end)

describe("transactions", function()
  before_each(function()
    db:run "CREATE TABLE t (x UNIQUE)"
  end)

  local function insert(...)
    for i = 1, select("#", ...) do
      db:run("INSERT INTO t VALUES (?)", (select(i, ...)))
    end
    return select("#", ...), nil, "done", nil
  end

  it("commit, and return what the function does", function()
    assert.same(table.pack(2, nil, "done", nil), table.pack(db:transaction(insert, "a", "b")))
    assert.is_false(db:in_transaction())
    assert.equal(2, count())
  end)

  it("roll back and raise the same error", function()
    local problem = { "mine" }
    assert.equal(problem, failure(db.transaction, db, function()
      insert "a"
      assert.is_true(db:in_transaction())
      error(problem)
    end))
    assert.equal(0, count())
    assert.is_false(db:in_transaction())
    assert.equal("CONSTRAINT", failure(db.transaction, db, insert, "a", "b", "a").code)
    assert.equal(0, count())
    insert "c"
    assert.equal(1, count())
  end)

  it("may fail at the end", function()
    db:run "CREATE TABLE parent (id INTEGER PRIMARY KEY)"
    db:run "CREATE TABLE child (p REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
    local problem = failure(db.transaction, db, function()
      insert "a"
      db:run "INSERT INTO child VALUES (1)"
    end)
    assert.equal("CONSTRAINT", problem.code)
    assert.equal(0, count())
    assert.is_false(db:in_transaction())
  end)

  it("are not possible inside of one", function()
    local problem = failure(db.transaction, db, function()
      insert "a"
      db:transaction(insert, "b")
    end)
    assert.matches("cannot start a transaction within a transaction", tostring(problem))
    assert.equal(0, count())
  end)

  it("raise the first error when the database is closed in them", function()
    assert.equal("mine", failure(db.transaction, db, function()
      db:close()
      error("mine", 0)
    end))
  end)

  it("do not end well when the function has ended them", function()
    assert.matches("no transaction is active", tostring(failure(db.transaction, db, function()
      db:run "ROLLBACK"
    end)))
  end)
end)

describe("failures", function()
  it("say where, what and in which statement", function()
    local problem = failure(db.run, db, "INSERT INTO nowhere VALUES (1)")
    assert.equal(folder .. "/x.db: no such table: nowhere\n  in: INSERT INTO nowhere VALUES (1)",
      tostring(problem))
    assert.equal(tostring(problem), problem.message)
    assert.equal("ERROR", problem.code)
    problem = failure(db.run, db, ("x"):rep(300))
    assert.equal(("\n  in: %s..."):format(("x"):rep(200)), problem.message:match "\n.*$")
    db:run "CREATE TABLE t (x INTEGER PRIMARY KEY CHECK (x > 0))"
    db:run "INSERT INTO t VALUES (1)"
    problem = failure(db.run, db, "INSERT INTO t VALUES (?)", 1)
    assert.equal("CONSTRAINT", problem.code)
    assert.equal(1555, problem.extended) -- SQLITE_CONSTRAINT_PRIMARYKEY
    assert.matches("UNIQUE constraint failed: t.x", problem.message, 1, true)
    assert.equal("CONSTRAINT", failure(db.run, db, "INSERT INTO t VALUES (-1)").code)
  end)

  it("hold foreign keys", function()
    db:run "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p)"
    assert.matches("FOREIGN KEY", failure(db.run, db, "INSERT INTO c VALUES (9)").message)
  end)

  it("of opening are a message", function()
    local other, message = sqlite.open(folder .. "/no/x.db")
    assert.is_nil(other)
    assert.equal("cannot open the database " .. folder .. "/no/x.db: unable to open database file",
      message)
    local file <close> = assert(io.open(folder .. "/text", "w"))
    file:write(("no database, that is for sure. "):rep(100))
    file:close()
    other, message = sqlite.open(folder .. "/text")
    assert.is_nil(other)
    assert.matches("file is not a database", message)
  end)

  it("come when it is closed", function()
    db:close()
    db:close()
    for _, name in ipairs { "run", "rows", "row", "last_id", "in_transaction", "transaction" } do
      assert.error_matches(function()
        db[name](db, "SELECT 1")
      end, "the database is closed")
    end
  end)

  -- SQLite meets the limit as it meets the end of a disk.
  it("of a full disk leave what was committed, and it goes on when there is room", function()
    db:run "CREATE TABLE t (x)"
    db:run("INSERT INTO t VALUES (?)", "first")
    local pages = db:row("PRAGMA page_count").page_count
    db:run("PRAGMA max_page_count = " .. pages + 3)
    local problem = failure(db.transaction, db, function()
      for _ = 1, 100 do
        db:run("INSERT INTO t VALUES (?)", ("x"):rep(4000))
      end
    end)
    assert.equal("FULL", problem.code)
    assert.matches("database or disk is full", problem.message)
    assert.is_false(db:in_transaction())
    assert.equal(1, count())
    db:run("PRAGMA max_page_count = " .. pages + 300)
    db:run("INSERT INTO t VALUES (?)", ("x"):rep(40000))
    assert.equal(2, count())
    assert.equal("ok", db:row("PRAGMA integrity_check").integrity_check)
  end)

  it("of a file that was overwritten are errors", function()
    db:run "CREATE TABLE t (x)"
    for _ = 1, 100 do
      db:run("INSERT INTO t VALUES (?)", ("x"):rep(1000))
    end
    db:close()
    local file <close> = assert(io.open(folder .. "/x.db", "r+b"))
    file:seek("set", 4096)
    file:write(("\xff"):rep(8192))
    file:close()
    db = assert(sqlite.open(folder .. "/x.db"))
    assert.equal("CORRUPT", failure(db.rows, db, "SELECT * FROM t").code)
  end)
end)

describe("two processes", function()
  -- Runs a script of ours with another one of the program.
  local function other(script)
    local path = folder .. "/other.lua"
    local file <close> = assert(io.open(path, "w"))
    file:write('local db, message = require "lambdapool.sqlite".open "', folder, '/x.db"\n', script)
    file:close()
    return run("exec 2>&1; " .. os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool run " .. path)
  end

  before_each(function()
    db:run "CREATE TABLE t (x)"
    db:run "INSERT INTO t VALUES (1)"
  end)

  it("see what the other has committed", function()
    assert.equal("1\n", other [[
      print(db:row("SELECT x FROM t").x)
      db:run "UPDATE t SET x = 2"
    ]])
    assert.equal(2, db:row("SELECT x FROM t").x)
  end)

  it("are told at once that the other is writing", function()
    db:run "BEGIN IMMEDIATE"
    db:run "UPDATE t SET x = 2"
    assert.equal("1\nBUSY\n", other [[
      print(db:row("SELECT x FROM t").x)
      print(select(2, pcall(db.transaction, db, print)).code)
    ]])
    db:run "COMMIT"
    assert.equal("2\n", other [[print(db:row("SELECT x FROM t").x)]])
  end)

  it("lose nothing that was committed when one is killed", function()
    pcall(other, [[
      db:run "INSERT INTO t VALUES (2)"
      db:run "BEGIN"
      db:run "INSERT INTO t VALUES (3)"
      os.execute "kill -9 $PPID"
    ]])
    assert.same({ { x = 1 }, { x = 2 } }, db:rows "SELECT x FROM t ORDER BY x")
  end)

  it("can keep a database to themselves", function()
    db:run "PRAGMA locking_mode = EXCLUSIVE"
    db:run "UPDATE t SET x = 2"
    assert.equal("nil\tcannot open the database " .. folder .. "/x.db: database is locked\n",
      other "print(db, message)")
  end)
end)
