--- The API of STS: who am I, and temporary credentials.

local query = require "lambdapool.aws.query"

return query.service {
  name = "sts",
  version = "2011-06-15",
  operations = "GetCallerIdentity AssumeRole AssumeRoleWithWebIdentity GetSessionToken",
  types = {},
}
