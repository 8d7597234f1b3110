--- SQLite. What its functions do stands above host/cloud/lib_sqlite.c; here are transactions.
local cloud = require "lambdapool.cloud"

local sqlite = cloud.load "sqlite"

-- Some failures end the transaction by themselves: a full disk, for one.
local function roll_back(db)
  if db:in_transaction() then
    db:run "ROLLBACK"
  end
end

local function finish(db, ok, ...)
  if ok then
    local committed, problem = pcall(db.run, db, "COMMIT")
    if committed then
      return ...
    end
    pcall(roll_back, db)
    error(problem, 0)
  end
  pcall(roll_back, db)
  error((...), 0)
end

--- Calls f(...) in a transaction that nobody else can write beside. When it returns, all is
--- committed and its results are returned; when it raises, nothing has happened and the same error
--- is raised. There are no transactions inside of transactions.
function sqlite.methods.transaction(db, f, ...)
  db:run "BEGIN IMMEDIATE"
  return finish(db, pcall(f, ...))
end

return { open = sqlite.open }
