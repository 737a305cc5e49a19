// Makes a user of MongoDB for each part, with what that part may do: mongosh --nodb --file. It may be run again.
const fs = require("fs");

const secret = (name) => fs.readFileSync(`/run/secrets/${name}`, "utf8");

const users = JSON.parse(secret("mongodb-users"));
if (!users.length) quit(); // the server is the user's
// It may have just been started.
const admin = connect(`${secret("mongodb-url")}&serverSelectionTimeoutMS=120000`).getSiblingDB("admin");
for (const { name, password, privileges } of users) {
  if (admin.getRole(name)) {
    admin.updateRole(name, { privileges, roles: [] });
  } else {
    admin.createRole({ role: name, privileges, roles: [] });
  }
  if (admin.getUser(name)) {
    admin.updateUser(name, { pwd: password, roles: [name] });
  } else {
    admin.createUser({ user: name, pwd: password, roles: [name] });
  }
}
